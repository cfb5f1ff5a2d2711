from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_name("0011_placing.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("orders", "0010_find_products_of_all")]

    operations = [
        migrations.RunSQL(
            FUNCTIONS,
            "DROP FUNCTION orders_place_bulk_v2, orders_place_v2, orders_is_as_read,"
            " orders_read_for_placing_v2",
        )
    ]
