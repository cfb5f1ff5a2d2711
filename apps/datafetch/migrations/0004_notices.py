import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0003_schema_policy")]

    operations = [
        migrations.AddField(
            model_name="progress",
            name="failing_since",
            field=models.DateTimeField(
                help_text="When the first of the failed runs in a row had failed.", null=True
            ),
        ),
        migrations.AddField(
            model_name="progress",
            name="told",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.TextField(),
                db_default=[],
                default=list,
                help_text="Causes by which it is failing, its account told of each; none: it is not failing.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="progress",
            name="warned_at",
            field=models.DateTimeField(help_text="Last e-mail about failed runs.", null=True),
        ),
        migrations.AddField(
            model_name="progress",
            name="drift_warned_at",
            field=models.DateTimeField(help_text="Last e-mail about its schema.", null=True),
        ),
    ]
