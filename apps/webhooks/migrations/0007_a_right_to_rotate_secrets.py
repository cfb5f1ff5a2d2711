from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0006_secrets_stay_where_they_are")]

    operations = [
        migrations.AlterModelOptions(
            name="endpoint",
            options={
                "base_manager_name": "objects",
                "permissions": [("rotate_secret", "Can rotate the secret of an endpoint")],
            },
        ),
    ]
