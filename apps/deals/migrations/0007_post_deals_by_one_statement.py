from pathlib import Path

from django.db import migrations

FUNCTION = Path(__file__).with_name("0007_posting.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [
        ("deals", "0006_requests_in_history"),
        ("common", "0004_bulk_actions"),
        ("events", "0001_initial"),
    ]

    operations = [migrations.RunSQL(FUNCTION, "DROP FUNCTION deals_post_v1")]
