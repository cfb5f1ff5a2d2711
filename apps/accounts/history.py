"""The history of what staff does to accounts, keys and people: Django's, which its own forms write too."""

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.db.models import Model


def note_addition(user_id: str, row: Model, what: str) -> None:
    """Note that a person made the object."""
    LogEntry.objects.log_actions(user_id, [row], ADDITION, what, single_object=True)


def note_change(user_id: str, row: Model, what: str) -> None:
    """Note what a person did to the object."""
    LogEntry.objects.log_actions(user_id, [row], CHANGE, what, single_object=True)
