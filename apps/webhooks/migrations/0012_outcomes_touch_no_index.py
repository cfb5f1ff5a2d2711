"""No index of the delivery log has what an outcome changes (docs/adr/0040). Indexes of tables that are in use, so
without a lock that deliveries would wait for; done again from the beginning, it changes nothing that is done."""

from uuid import UUID

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

BATCH = 5000
LAST = UUID(int=2**128 - 1)

# Locked, so that none changes while it is taken over: afterwards the trigger follows what becomes of it.
FILL = """
WITH chosen AS MATERIALIZED (
  SELECT id, endpoint_id, status, replay_id FROM webhooks_delivery
   WHERE status = %s AND id < %s ORDER BY id DESC LIMIT %s FOR SHARE
), kept AS (
  INSERT INTO webhooks_undelivered (id, endpoint_id, status, replay_id)
  SELECT id, endpoint_id, status, replay_id FROM chosen ON CONFLICT (id) DO NOTHING
)
SELECT id FROM chosen ORDER BY id LIMIT 1
"""

PARTITIONS = """
SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'webhooks_delivery'::regclass
"""
REPLAYED = "(replay_id, id DESC) WHERE replay_id IS NOT NULL"


def fill(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    with schema_editor.connection.cursor() as cursor:
        for status in ("failed", "parked", "canceled"):
            before = LAST
            while True:
                cursor.execute(FILL, [status, before, BATCH])
                if not (last := cursor.fetchone()):
                    break
                (before,) = last


def leave_room(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """On pages made from now on."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {partition} SET (fillfactor = 50)")


def index_replayed(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Partition by partition: an index of all at once can't be made concurrently."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE INDEX IF NOT EXISTS delivery_replayed ON ONLY webhooks_delivery {REPLAYED}"
        )
        cursor.execute(PARTITIONS)
        for (partition,) in cursor.fetchall():
            name = f"{partition}_replayed"
            cursor.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {partition} {REPLAYED}"
            )
            cursor.execute(f"ALTER INDEX delivery_replayed ATTACH PARTITION {name}")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("webhooks", "0011_keep_the_undelivered")]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunPython(leave_room, migrations.RunPython.noop),
        migrations.AddField(
            model_name="due",
            name="delivery",
            field=models.ForeignObject(
                from_fields=["id"],
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="due",
                to="webhooks.delivery",
                to_fields=["id"],
                unique=True,
            ),
        ),
        AddIndexConcurrently(
            model_name="due",
            index=models.Index(
                condition=models.Q(("lease_id", None)),
                fields=["endpoint", "-id"],
                name="due_unleased",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(index_replayed, migrations.RunPython.noop),
            ],
            state_operations=[
                migrations.AddIndex(
                    model_name="delivery",
                    index=models.Index(
                        condition=models.Q(("replay_id__isnull", False)),
                        fields=["replay_id", "-id"],
                        name="delivery_replayed",
                    ),
                ),
            ],
        ),
        migrations.RemoveIndex(model_name="delivery", name="delivery_replay"),
        migrations.RemoveIndex(model_name="delivery", name="delivery_endpoint_status"),
        migrations.RemoveIndex(model_name="delivery", name="delivery_undelivered"),
    ]
