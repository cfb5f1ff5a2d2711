from django.db import migrations

# Whether the storefront and the products are still as an order copied them: for orders_place_v2, whose settings hold
# here too. A product that is not there any more is not (a web process may remember one that a failover has lost).
IS_AS_READ = """
CREATE OR REPLACE FUNCTION orders_is_as_read(
  p_storefront uuid, p_version integer, p_currency text,
  p_products uuid[], p_names text[], p_prices bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM orders_storefront s WHERE s.id = p_storefront AND s.version = p_version)
     AND cardinality(p_products) = (
       SELECT count(*) FROM orders_product o
        WHERE o.id = ANY (p_products)
          AND o.price = p_prices[array_position(p_products, o.id)]
          AND o.name = p_names[array_position(p_products, o.id)]
          AND o.currency = p_currency AND o.is_active);
END $$
"""
AS_IT_WAS = """
CREATE OR REPLACE FUNCTION orders_is_as_read(
  p_storefront uuid, p_version integer, p_currency text,
  p_products uuid[], p_names text[], p_prices bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RETURN EXISTS (SELECT FROM orders_storefront s WHERE s.id = p_storefront AND s.version = p_version)
     AND NOT EXISTS (
       SELECT FROM orders_product o
        WHERE o.id = ANY (p_products)
          AND (o.price <> p_prices[array_position(p_products, o.id)]
            OR o.name <> p_names[array_position(p_products, o.id)]
            OR o.currency <> p_currency OR NOT o.is_active));
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0012_post_by_one_statement")]

    operations = [migrations.RunSQL(IS_AS_READ, AS_IT_WAS)]
