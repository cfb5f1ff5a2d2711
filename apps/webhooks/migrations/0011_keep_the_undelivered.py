"""The deliveries that rest without success stand in a small table of their own (docs/adr/0040), kept by a trigger:
so processes of the release before, with their functions and statements, keep it as well."""

import django.db.models.deletion
from django.db import migrations, models

from apps.common.partitions import CreatePartitionedModel

# The weeks that the log has: what is filled in later belongs to them, and goes with them.
WEEKS = """
DO $$
DECLARE week record;
BEGIN
  FOR week IN SELECT replace(c.relname, 'webhooks_delivery', 'webhooks_undelivered') AS name,
                     pg_get_expr(c.relpartbound, c.oid) AS bounds
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = 'webhooks_delivery'::regclass
                 AND c.relname <> 'webhooks_delivery_default' LOOP
    EXECUTE format('CREATE TABLE %I PARTITION OF webhooks_undelivered %s', week.name, week.bounds);
  END LOOP;
END $$
"""

KEEP = """
CREATE FUNCTION webhooks_keep_undelivered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.status IN ('pending', 'delivered') THEN
    DELETE FROM webhooks_undelivered WHERE id = NEW.id;
  ELSE
    INSERT INTO webhooks_undelivered (id, endpoint_id, status, replay_id)
    VALUES (NEW.id, NEW.endpoint_id, NEW.status, NEW.replay_id)
    ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, replay_id = EXCLUDED.replay_id;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER keep_undelivered_made AFTER INSERT ON webhooks_delivery FOR EACH ROW
  WHEN (NEW.status NOT IN ('pending', 'delivered'))
  EXECUTE FUNCTION webhooks_keep_undelivered();

-- What goes from pending to delivered, as nearly all do, calls no function.
CREATE TRIGGER keep_undelivered AFTER UPDATE OF status, replay_id ON webhooks_delivery FOR EACH ROW
  WHEN (OLD.status NOT IN ('pending', 'delivered') OR NEW.status NOT IN ('pending', 'delivered'))
  EXECUTE FUNCTION webhooks_keep_undelivered();
"""
FORGET = """
DROP TRIGGER keep_undelivered ON webhooks_delivery;
DROP TRIGGER keep_undelivered_made ON webhooks_delivery;
DROP FUNCTION webhooks_keep_undelivered();
"""


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0010_plans_for_any_size")]

    operations = [
        CreatePartitionedModel(
            name="Undelivered",
            fields=[
                (
                    "delivery",
                    models.OneToOneField(
                        db_column="id",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="undelivered",
                        serialize=False,
                        to="webhooks.delivery",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("delivered", "Delivered"),
                            ("failed", "Failed"),
                            ("parked", "Parked"),
                            ("canceled", "Canceled"),
                        ],
                        max_length=10,
                    ),
                ),
                ("replay_id", models.UUIDField(null=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="webhooks.endpoint",
                    ),
                ),
            ],
            options={"verbose_name_plural": "undelivered"},
        ),
        migrations.AddIndex(
            model_name="undelivered",
            index=models.Index(
                fields=["endpoint", "status", "-delivery"], name="undelivered_endpoint"
            ),
        ),
        migrations.AddIndex(
            model_name="undelivered",
            index=models.Index(fields=["status", "-delivery"], name="undelivered_status"),
        ),
        migrations.AddIndex(
            model_name="undelivered",
            index=models.Index(
                condition=models.Q(("replay_id__isnull", False)),
                fields=["replay_id", "status", "-delivery"],
                name="undelivered_replay",
            ),
        ),
        migrations.RunSQL(WEEKS, migrations.RunSQL.noop),
        migrations.RunSQL(KEEP, FORGET),
    ]
