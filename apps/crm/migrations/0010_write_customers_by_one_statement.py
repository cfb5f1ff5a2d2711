from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_name("0010_writing.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0009_contact_import"),
        ("events", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(FUNCTIONS, "DROP FUNCTION crm_change_customer_v1, crm_create_customer_v1")
    ]
