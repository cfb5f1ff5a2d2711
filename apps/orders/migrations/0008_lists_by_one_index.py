from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Func

# What a product is found by: its account, its whole sku, and the words of sku and name (runs of letters and
# digits, of any script, whatever the locale of the database); the marks keep the three apart. Words and
# questions are made by the same rules, which is why both functions are here.
FUNCTIONS = r"""
CREATE FUNCTION orders_product_words(account_id uuid, sku text, name text) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
  SELECT array_to_tsvector(
    ARRAY['@' || account_id, '=' || lower(sku COLLATE "pg_c_utf8")]
    || array_remove(regexp_split_to_array(
      lower((sku || ' ' || name) COLLATE "pg_c_utf8"), '[^[:alnum:]]+'), ''))
$$;

CREATE FUNCTION orders_product_query(account_id uuid, q text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT ('''@' || account_id || '''')::tsquery && (
    ('''=' || replace(replace(lower(q COLLATE "pg_c_utf8"), '\', '\\'), '''', '''''') || ''':*')::tsquery
    || coalesce(
      (nullif(array_to_string(array_remove(regexp_split_to_array(
        lower(q COLLATE "pg_c_utf8"), '[^[:alnum:]]+'), ''), ':* & '), '') || ':*')::tsquery,
      ''::tsquery))
$$;
"""


class Migration(migrations.Migration):
    """Indexes of tables that are in use, so without a lock that orders would wait for."""

    atomic = False

    dependencies = [
        ("orders", "0007_unlock_what_orders_share"),
    ]

    operations = [
        migrations.RunSQL(FUNCTIONS, "DROP FUNCTION orders_product_words, orders_product_query"),
        AddIndexConcurrently(
            model_name="product",
            index=GinIndex(
                Func("account_id", "sku", "name", function="orders_product_words"),
                name="product_words",
            ),
        ),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                condition=models.Q(("deleted_at", None)),
                fields=["storefront", "status", "-id"],
                name="order_storefront_status",
            ),
        ),
    ]
