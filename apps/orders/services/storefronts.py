"""Changes of storefronts."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.common.errors import Fault
from apps.common.retries import retried
from apps.common.versions import require_version
from apps.orders.errors import StorefrontCodeTaken
from apps.orders.models import Storefront
from apps.orders.selectors import storefront, storefronts


@transaction.atomic
def create_storefront(*, account_id: UUID, code: str, **fields: Any) -> Storefront:
    """Make one; raises StorefrontCodeTaken."""
    made = Storefront(account_id=account_id, code=code, **fields)
    Storefront.objects.bulk_create([made], ignore_conflicts=True)
    stored = storefronts(account_id).filter(pk=made.pk).first()
    if stored is None:
        raise code_taken(code)
    return stored


def code_taken(code: str) -> StorefrontCodeTaken:
    """The error for a second storefront under one code."""
    detail = f"You have a storefront {code!r} already."
    return StorefrontCodeTaken(detail, faults=[Fault("/code", StorefrontCodeTaken.code, detail)])


@retried
@transaction.atomic
def update_storefront(
    *,
    account_id: UUID,
    storefront_id: UUID,
    changes: Mapping[str, Any],
    expected: frozenset[int] | None = None,
) -> Storefront:
    """Change a storefront; orders placed before keep what they had. Raises StorefrontNotFound, Stale."""
    storefronts(account_id).select_for_update(no_key=True).filter(pk=storefront_id).first()
    present = storefront(account_id, storefront_id)
    require_version(present.version, expected)
    altered = {name: value for name, value in changes.items() if getattr(present, name) != value}
    if not altered:
        return present
    storefronts(account_id).filter(pk=storefront_id).update(
        **altered, version=F("version") + 1, updated_at=Now()
    )
    return storefront(account_id, storefront_id)
