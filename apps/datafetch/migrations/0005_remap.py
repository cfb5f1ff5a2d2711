from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0004_notices")]

    operations = [
        migrations.AddField(
            model_name="stream",
            name="keyed_at",
            field=models.DateTimeField(
                editable=False,
                help_text="When its records were given other keys: earlier pages do not hold those.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="trigger",
            field=models.CharField(
                choices=[
                    ("start", "Start"),
                    ("schedule", "Schedule"),
                    ("manual", "Manual"),
                    ("remap", "Remap"),
                ],
                max_length=10,
            ),
        ),
    ]
