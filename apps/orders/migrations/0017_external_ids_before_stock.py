from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_suffix(".sql").read_text()
UNDO = "DROP FUNCTION orders_place_bulk_v3, orders_post_alone_v1, orders_hold_external_ids"


class Migration(migrations.Migration):
    dependencies = [("orders", "0016_erase_what_was_on_its_way")]

    operations = [migrations.RunSQL(FUNCTIONS, UNDO)]
