"""What every row has by which HubSpot is owed something."""

from typing import Any

from django.db import models
from django.db.models import F, Q

from apps.accounts.models import Account
from apps.common.leases import Leased
from apps.crm.enums import Outcome, SyncState


class Owed(Leased):
    """What HubSpot has of something, and what it is still owed: a due row.

    Level-triggered: HubSpot is owed something while `revision` is above `synced_revision`, however
    many edits lie between. Who sends notes in `sending` what is on its way, before it goes, and what
    HubSpot confirmed in `acknowledged`, afterwards; a worker killed in between leaves `sending`, and its
    members are in doubt whatever they are now. So only what differs is ever sent, and nothing is
    believed to be there of which that is not certain.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    state = models.CharField(
        max_length=20, choices=SyncState.choices, default=SyncState.PENDING.value
    )
    revision = models.PositiveIntegerField(default=1, help_text="Counts what HubSpot has to learn.")
    synced_revision = models.PositiveIntegerField(default=0)
    portal_key = models.CharField(
        max_length=64, blank=True, help_text="Where its record is known; another token asks again."
    )
    acknowledged: "models.JSONField[Any, Any]" = models.JSONField(
        default=dict, help_text="HubSpot properties as HubSpot last confirmed them."
    )
    sending: "models.JSONField[Any, Any]" = models.JSONField(
        null=True, help_text="Those sent without a known outcome."
    )
    batch_limit = models.PositiveSmallIntegerField(
        null=True, help_text="How many may go with it, after a batch was refused as a whole."
    )
    failures = models.PositiveSmallIntegerField(default=0, help_text="In a row, without outcome.")
    error_code = models.CharField(max_length=20, choices=Outcome.choices, blank=True)
    error_reason = models.CharField(
        max_length=100, blank=True, help_text="HubSpot's code, or ours."
    )
    error_property = models.CharField(max_length=200, blank=True)
    error_detail = models.CharField(max_length=1000, blank=True)
    synced_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.state} {self.synced_revision}/{self.revision}"


def owed_constraints(name: str) -> list[models.BaseConstraint]:
    """Those of every table of what is owed."""
    return [
        models.CheckConstraint(
            condition=Q(synced_revision__lte=F("revision")), name=f"{name}_revision"
        ),
        models.CheckConstraint(
            condition=Q(state=SyncState.PENDING, due_at__isnull=False)
            | Q(due_at=None) & ~Q(state=SyncState.PENDING),
            name=f"{name}_due",
        ),
    ]


def owed_index(name: str) -> models.Index:
    """By which the workers walk from account to account that waits."""
    return models.Index(
        fields=["account", "due_at"], name=f"{name}_owed", condition=Q(due_at__isnull=False)
    )
