"""Reading for an order draws no number: the writing call does."""

from django.db import migrations

# As orders_read_for_placing_v2, which stays for processes of the release before.
READ = """
CREATE FUNCTION orders_read_for_placing_v3(
  p_account uuid, p_storefront text, p_skus text[], p_key text, p_kept_seconds integer,
  OUT storefront json, OUT products json,
  OUT status smallint, OUT fingerprint text, OUT body bytea, OUT location text
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  SELECT (SELECT json_build_object('id', s.id, 'code', s.code, 'currency', s.currency,
                   'reservation_minutes', s.reservation_minutes, 'version', s.version)
            FROM orders_storefront s
           WHERE s.account_id = p_account AND s.code = p_storefront),
         (SELECT json_agg(json_build_object(
                   'id', p.id, 'sku', p.sku, 'name', p.name, 'price', p.price,
                   'currency', p.currency, 'is_active', p.is_active))
            FROM orders_product p WHERE p.account_id = p_account AND p.sku = ANY (p_skus))
    INTO storefront, products;
  IF p_key <> '' THEN
    SELECT k.status, k.fingerprint, k.body, k.location INTO status, fingerprint, body, location
      FROM common_idempotencykey k
     WHERE k.account_id = p_account AND k.key = p_key
       AND k.created_at >= now() - make_interval(secs => p_kept_seconds);
  END IF;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0014_post_together")]

    operations = [migrations.RunSQL(READ, "DROP FUNCTION orders_read_for_placing_v3")]
