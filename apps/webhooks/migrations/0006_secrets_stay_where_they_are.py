from django.db import migrations


class Migration(migrations.Migration):
    """Endpoints are read without their secrets, by relations too."""

    dependencies = [("webhooks", "0005_find_the_undelivered")]

    operations = [
        migrations.AlterModelOptions(name="endpoint", options={"base_manager_name": "objects"}),
    ]
