"""The states of streams, runs and records."""

from django.db import models


class State(models.TextChoices):
    """What its owner wants of a stream: to run by its schedule, or to rest."""

    STOPPED = "stopped"
    RUNNING = "running"


class Health(models.TextChoices):
    """How a stream fares; seen from its runs."""

    NEVER_RUN = "never_run"
    OK = "ok"
    FAILING = "failing"


class RunStatus(models.TextChoices):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"  # by whoever stopped or deleted the stream


class Trigger(models.TextChoices):
    """What began a run."""

    START = "start"
    SCHEDULE = "schedule"
    MANUAL = "manual"
    REMAP = "remap"  # of pages that are kept: nothing is fetched


class SchemaPolicy(models.TextChoices):
    """What becomes of records that do not look like those before them."""

    EVOLVE = "evolve"  # they are stored, and the schema has a new version
    FREEZE = "freeze"  # the run fails, and nothing of the page is stored
    REJECT = "reject"  # they go to the rejected ones, the others are stored


class Edge(models.TextChoices):
    """Where a consumer may be set to without an offset."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Change(models.TextChoices):
    """What a version of a record tells."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"
