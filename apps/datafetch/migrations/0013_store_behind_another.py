from importlib import import_module

from django.db import migrations

# As datafetch_store_v4, which stays for processes of the version before; but a page that was sent while the one before
# it was being stored is stored only if that one was: the position is still the one that it has led to (docs/adr/0048).
STORE = (
    import_module("apps.datafetch.migrations.0012_visit_what_is_known")
    .STORE.replace(
        "CREATE OR REPLACE FUNCTION datafetch_store_v4", "CREATE FUNCTION datafetch_store_v5"
    )
    .replace("page_next bytea,\n  OUT", "page_next bytea, coming_from bytea,\n  OUT")
    .replace(
        "p.lease_id = by_lease FOR UPDATE",
        "p.lease_id = by_lease AND (p.position = coming_from) IS NOT FALSE\n     FOR UPDATE",
    )
    .replace("The lease is lost.", "The lease is lost, or the page before was not stored.")
)


class Migration(migrations.Migration):
    dependencies = [("datafetch", "0012_visit_what_is_known")]

    operations = [migrations.RunSQL(STORE, "DROP FUNCTION datafetch_store_v5")]
