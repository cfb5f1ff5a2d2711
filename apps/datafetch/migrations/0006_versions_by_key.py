from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The earlier versions of a record, found by its key."""

    atomic = False

    dependencies = [("datafetch", "0005_remap")]

    operations = [
        AddIndexConcurrently(
            model_name="record",
            index=models.Index(
                condition=models.Q(("superseded_at__isnull", False)),
                fields=["stream", "key"],
                name="record_past",
            ),
        ),
    ]
