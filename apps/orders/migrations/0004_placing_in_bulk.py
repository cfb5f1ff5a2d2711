from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_name("0004_bulk.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_validate_parts_and_payments")]

    operations = [
        migrations.RunSQL(FUNCTIONS, "DROP FUNCTION orders_place_bulk, orders_read_for_bulk"),
    ]
