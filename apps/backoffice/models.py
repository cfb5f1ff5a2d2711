"""What the dashboard has counted up."""

from typing import Any

from django.db import models


class Hour(models.Model):
    """The figures of one kind in one hour, as they were when it was last counted (dashboard.hours).

    A roll-up: always counted anew from the rows that it tells of, never incremented, so that a job which
    was killed, ran twice or came late leaves nothing wrong behind.
    """

    pk = models.CompositePrimaryKey("kind", "starts_at")
    kind = models.CharField(max_length=20)
    starts_at = models.DateTimeField(help_text="A full hour, in UTC.")
    until = models.DateTimeField(
        help_text="Counted up to here: its end, unless it was still going."
    )
    counted_at = models.DateTimeField()
    figures: "models.JSONField[Any, Any]" = models.JSONField(
        help_text="{figure: {of what: number}}; those of two hours are added member by member."
    )

    def __str__(self) -> str:
        return f"{self.kind} of {self.starts_at:%Y-%m-%d %H:%M}"
