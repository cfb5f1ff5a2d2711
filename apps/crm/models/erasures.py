"""What is left to be erased."""

from django.db import models
from django.db.models import Q

from apps.accounts.models import Account
from apps.common.encryption import EncryptedTextField
from apps.common.leases import Leased
from apps.crm.enums import ErasureStage


class Erasure(Leased):
    """What is left to be erased of a customer; gone when nothing is. `id` is the customer's."""

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    stage = models.CharField(
        max_length=10, choices=ErasureStage.choices, default=ErasureStage.EVENTS.value
    )
    after = models.CharField(max_length=255, blank=True, help_text="How far the stage has come.")
    call_over_at = models.DateTimeField(
        null=True, help_text="Until then HubSpot may be told of the customer by a call under way."
    )
    portal_key = models.CharField(max_length=64, blank=True, help_text="Where contact_id is known.")
    contact_id = models.CharField(max_length=40, blank=True, help_text="To be deleted in HubSpot.")
    email = EncryptedTextField(null=True, help_text="To find that contact by.")
    error = models.CharField(max_length=1000, blank=True, help_text="Why HubSpot will not do it.")

    class Meta:
        indexes = [
            models.Index(
                fields=["due_at"], name="erasure_due_at", condition=Q(due_at__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.stage}"
