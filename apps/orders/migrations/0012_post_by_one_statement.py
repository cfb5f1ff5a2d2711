from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_name("0012_posting.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("orders", "0011_place_with_stock_locked_last")]

    operations = [migrations.RunSQL(FUNCTIONS, "DROP FUNCTION orders_post_v1")]
