from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The pages that a run visited after another, found by their numbers."""

    atomic = False

    dependencies = [("datafetch", "0009_store_pages_at_once")]

    operations = [
        AddIndexConcurrently(
            model_name="page",
            index=models.Index(fields=["stream", "run_id", "number"], name="page_visit"),
        ),
        RemoveIndexConcurrently(model_name="page", name="page_stream_run"),
    ]
