"""Reads of deals. A seller sees its own, a buyer those of the sellers that authorise it now, nobody
anything else."""

from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet, Subquery, UUIDField
from django.db.models.functions import JSONObject

from apps.accounts.errors import AccountNotFound
from apps.accounts.selectors import account_by_reference
from apps.deals.errors import DealNotFound
from apps.deals.events.deals import item_object
from apps.deals.models import Authorization, Deal, DealItem
from apps.deals.selectors.windows import Window

# Parameter of the list -> what it asks of a deal.
_FILTERS = {
    "status": "status",
    "currency": "currency",
    "min_price": "final_price__gte",
    "max_price": "final_price__lte",
    "updated_after": "updated_at__gt",
}


def visible_deal(account_id: UUID, deal_id: UUID) -> Deal:
    """One deal that the account may see now; raises DealNotFound."""
    found = _with_items(_visible(account_id)).filter(pk=deal_id).first()
    if found is None:
        raise DealNotFound("There is no such deal, or your account may not see it.")
    return found


def visible_state(account_id: UUID, deal_id: UUID) -> Deal:
    """Of a deal that the account may see now, what its ETag is made of; raises DealNotFound."""
    found = _visible(account_id).only("version", "best_bid").filter(pk=deal_id).first()
    if found is None:
        raise DealNotFound("There is no such deal, or your account may not see it.")
    return found


def own_deal(seller_id: UUID, deal_id: UUID) -> Deal:
    """One deal of the seller; raises DealNotFound."""
    return _own(_with_items(Deal.objects.all()), seller_id, deal_id)


def own_deal_locked(seller_id: UUID, deal_id: UUID) -> Deal:
    """One deal of the seller, for changing it in this transaction; raises DealNotFound."""
    deal = _own(Deal.objects.select_for_update(), seller_id, deal_id)
    read_items(deal)
    return deal


def read_items(deal: Deal) -> None:
    """Give a deal that is locked its `item_objects`.

    By a statement of its own: the one that locked may have waited, and would show the items of before.
    """
    deal.item_objects = [item_object(item) for item in deal.items.all()]


def visible_deals(account_id: UUID, *, filters: dict[str, Any], window: Window) -> QuerySet[Deal]:
    """The deals that the account may see now, as far as the page needs them, with their items.

    `filters` are named in `_FILTERS`; `seller` is an account's id or slug. One that is unknown or has
    not authorised the account matches nothing.
    """
    deals = _with_items(Deal.objects.all())
    wanted = {_FILTERS[name]: value for name, value in filters.items() if name in _FILTERS}
    rows = Deal.objects.filter(**wanted)
    if "seller" in filters:
        seller_id = _visible_seller(account_id, filters["seller"])
        return deals.none() if seller_id is None else deals.filter(**wanted, seller_id=seller_id)
    own = window.of(rows.filter(seller_id=account_id)).values("pk")
    return deals.filter(pk__in=own.union(_granted(rows, account_id, window), all=True))


def _visible(account_id: UUID) -> QuerySet[Deal]:
    allowed = Authorization.objects.filter(seller_id=OuterRef("seller_id"), buyer_id=account_id)
    return Deal.objects.filter(Q(seller_id=account_id) | Exists(allowed))


def _own(deals: QuerySet[Deal], seller_id: UUID, deal_id: UUID) -> Deal:
    found = deals.filter(pk=deal_id, seller_id=seller_id).first()
    if found is None:
        raise DealNotFound("There is no such deal of yours.")
    return found


def _with_items(deals: QuerySet[Deal]) -> QuerySet[Deal]:
    """Read the items in the statement of the deals, so that those of one moment stand together."""
    items = DealItem.objects.filter(deal_id=OuterRef("pk")).order_by("position")
    shown = JSONObject(id="id", name="name", price="price")
    return deals.annotate(
        item_objects=ArraySubquery(items.values_list(shown))  # type: ignore[no-redef]  # declared on the model
    )


def _granted(rows: QuerySet[Deal], buyer_id: UUID, window: Window) -> QuerySet[Any, Any]:
    """The ids of those of `rows` that the window shows of all sellers that authorise the buyer.

    First each seller's one row that is nearest to the window's start: one step in an index for each.
    The page is made of the `limit` sellers with the nearest alone, for each of these has a row that
    comes before all rows of the others. Then as many rows of each of these, merged. So a page costs
    one step for each seller, however many deals there are.
    """
    theirs = rows.filter(seller_id=OuterRef("seller_id"))
    nearest = Window(1, window.beyond, window.backwards).of(theirs)
    grants = Authorization.objects.filter(buyer_id=buyer_id)
    sellers = grants.annotate(nearest=Subquery(nearest.values("pk"))).order_by(
        F("nearest").asc(nulls_last=True)
        if window.backwards
        else F("nearest").desc(nulls_last=True)
    )
    each = Func(
        ArraySubquery(window.of(theirs).values("pk")), function="unnest", output_field=UUIDField()
    )
    merged = grants.filter(pk__in=sellers.values("pk")[: window.limit]).annotate(deal=each)
    return merged.order_by("deal" if window.backwards else "-deal").values("deal")[: window.limit]


def _visible_seller(account_id: UUID, reference: str) -> UUID | None:
    try:
        seller_id: UUID = account_by_reference(reference).id
    except AccountNotFound:
        return None
    allowed = Authorization.objects.filter(seller_id=seller_id, buyer_id=account_id)
    return seller_id if seller_id == account_id or allowed.exists() else None
