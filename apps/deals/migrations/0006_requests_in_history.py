from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deals", "0005_find_what_is_available")]

    operations = [
        migrations.AddField(
            model_name=name,
            name="request_id",
            field=models.CharField(blank=True, db_default="", max_length=128),
        )
        for name in ("dealhistory", "invoicehistory")
    ]
