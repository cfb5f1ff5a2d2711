"""Reads of authorisations, by the seller that granted or the buyer that received them."""

from uuid import UUID

from django.db.models import QuerySet

from apps.deals.errors import AuthorizationNotFound
from apps.deals.models import Authorization
from apps.deals.selectors.windows import Window


def authorization(seller_id: UUID, authorization_id: UUID) -> Authorization:
    """One that the seller granted; raises AuthorizationNotFound."""
    found = Authorization.objects.filter(pk=authorization_id, seller_id=seller_id).first()
    if found is None:
        raise AuthorizationNotFound("There is no such authorization granted by you.")
    return found


def authorizations(account_id: UUID, window: Window) -> QuerySet[Authorization]:
    """Those that the account granted or received, as far as the page needs them."""
    granted = window.of(Authorization.objects.filter(seller_id=account_id)).values("pk")
    received = window.of(Authorization.objects.filter(buyer_id=account_id)).values("pk")
    return Authorization.objects.filter(pk__in=granted.union(received, all=True))
