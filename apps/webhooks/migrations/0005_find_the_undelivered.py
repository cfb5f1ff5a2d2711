from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0004_claim_by_lanes"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("status__in", ["failed", "parked", "canceled"])),
                fields=["status", "-id"],
                name="delivery_undelivered",
            ),
        ),
    ]
