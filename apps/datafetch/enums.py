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


class Change(models.TextChoices):
    """What a version of a record tells."""

    NEW = "new"
    CHANGED = "changed"
    DELETED = "deleted"
