from pathlib import Path

from django.db import migrations

FUNCTIONS = Path(__file__).with_name("0014_posting_together.sql").read_text()
UNDO = """
DROP FUNCTION orders_post_soon_v1;
DROP FUNCTION orders_post_together_v1;
DROP FUNCTION orders_all_fit;
DROP TYPE orders_posted;
DROP TYPE orders_asked;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0013_miss_what_is_gone")]

    operations = [migrations.RunSQL(FUNCTIONS, UNDO)]
