"""How deals look, in answers and in events, and what can happen to them.

What is the seller's alone is shown to the seller alone: never in an event, which buyers read.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.common.clock import rfc3339
from apps.common.schemas import (
    Schema,
    array,
    component,
    enum,
    integer,
    nullable,
    obj,
    string,
    timestamp,
    uuid,
)
from apps.deals.auctions import is_reserve_met
from apps.deals.enums import DealStatus, DiscountType
from apps.deals.models import Deal, DealItem
from apps.events.catalogue import define

_ID = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a11"
_SELLER = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a22"
_ITEM = "01936f3e-5a70-7cc0-a1b2-0d5c7f1c9a33"

DISCOUNT = component(
    "Discount",
    obj(
        {
            "type": enum(list(DiscountType.values)),
            "amount": integer(
                "Flat: in the currency's minor unit, at most the total price. "
                "Percentage: whole percent, 0 to 100."
            ),
        }
    ),
    example={"type": "percentage", "amount": 10},
)

_ITEM_PROPERTIES = {"id": uuid(), "name": string(), "price": integer("In the minor unit.")}

DEAL_ITEM = component("DealItem", obj(_ITEM_PROPERTIES))

AUCTION = component(
    "Auction",
    obj(
        {
            "ends_at": timestamp("Later bids are refused; then the deal is sold, or withdrawn."),
            "minimum": integer("The least first bid, in the minor unit."),
            "increment": integer("What a bid must be above the best one at least."),
            "buy_now": nullable(integer("A bid of this amount buys the deal at once.")),
            "extension_seconds": integer(
                "A bid in the last so many seconds puts the end off to as long after the bid."
            ),
            "reserve": nullable(integer("Below it nothing is sold. Shown to the seller alone.")),
        },
        optional=("reserve",),
    ),
)

_TERMS: dict[str, Schema] = {
    "name": string(),
    "status": enum(
        list(DealStatus.values), "A deal that is sold or withdrawn can no longer be edited."
    ),
    "currency": string("ISO 4217."),
    "total_price": integer("Before the discount, in the currency's minor unit."),
    "discount": nullable(DISCOUNT),
    "final_price": integer(
        "After the discount; half a minor unit is rounded up: 10 % off 1005 leaves 905."
    ),
    "auction": nullable(AUCTION),
}

# No event and no answer to a buyer holds these, or the reserve of an auction.
_SELLERS_TERMS: dict[str, Schema] = {
    "auto_accept_at": integer(
        "A bid of so much is accepted at once. The seller's alone, and there when set."
    ),
    "auto_reject_below": integer(
        "A bid of less is rejected at once. The seller's alone, and there when set."
    ),
}

DEAL = component(
    "Deal",
    obj(
        {
            "id": uuid(),
            "seller": uuid("The seller's account."),
            **_TERMS,
            "items": array(DEAL_ITEM, "In the order in which the seller sent them."),
            "best_bid": nullable(integer("The best active bid; in an auction the present price.")),
            "reserve_met": nullable(
                {"type": "boolean", "description": "Whether the auction would sell now."}
            ),
            **_SELLERS_TERMS,
            "version": integer("Counts the changes of what the seller writes."),
            "created_at": timestamp(),
            "updated_at": timestamp(),
        },
        optional=tuple(_SELLERS_TERMS),
    ),
    example={
        "id": _ID,
        "seller": _SELLER,
        "name": "12 office chairs",
        "status": "available",
        "currency": "EUR",
        "total_price": 120000,
        "discount": {"type": "percentage", "amount": 10},
        "final_price": 108000,
        "auction": None,
        "items": [{"id": _ITEM, "name": "Office chair, grey", "price": 10000}],
        "best_bid": None,
        "reserve_met": None,
        "version": 1,
        "created_at": "2026-11-21T09:30:00.000000Z",
        "updated_at": "2026-11-21T09:30:00.000000Z",
    },
)


def _pair(schema: Schema, description: str = "") -> Schema:
    """[old, new]"""
    pair: Schema = {"type": "array", "prefixItems": [schema, schema], "minItems": 2, "maxItems": 2}
    return pair | ({"description": description} if description else {})


_LISTED_ITEM = obj(_ITEM_PROPERTIES | {"position": integer("Its place in `items`, from 0.")})

DEAL_CHANGES = obj(
    {name: _pair(schema) for name, schema in _TERMS.items()}
    | {
        "items": _pair(
            array(_LISTED_ITEM),
            "Only the items concerned, as they were and as they are. One that is in the first list "
            "alone was removed, in the second alone added, in both altered or moved among the others.",
        )
    },
    optional=(*_TERMS, "items"),
)

DEAL_CREATED = define("deal.created", "A seller published a deal.", DEAL)
DEAL_UPDATED = define("deal.updated", "An available deal changed.", DEAL, changes=DEAL_CHANGES)
DEAL_SOLD = define("deal.sold", "A deal was sold.", DEAL, changes=DEAL_CHANGES)
DEAL_WITHDRAWN = define("deal.withdrawn", "A seller took a deal back.", DEAL, changes=DEAL_CHANGES)


def deal_object(deal: Deal, viewer: UUID | None = None) -> dict[str, Any]:
    """The deal as the account `viewer` may see it; without one, as every authorised buyer may."""
    shown = _whole(deal)
    return shown if viewer == deal.seller_id else for_buyers(shown)


def for_buyers(shown: Mapping[str, Any]) -> dict[str, Any]:
    """A deal object less what is the seller's alone."""
    auction = shown["auction"]
    return {name: value for name, value in shown.items() if name not in _SELLERS_TERMS} | {
        "auction": auction and {name: auction[name] for name in auction if name != "reserve"}
    }


def _whole(deal: Deal) -> dict[str, Any]:
    auction = deal.auction
    sellers_terms = {name: getattr(deal, name) for name in _SELLERS_TERMS}
    return {
        "id": str(deal.id),
        "seller": str(deal.seller_id),
        "name": deal.name,
        "status": str(deal.status),
        "currency": deal.currency,
        "total_price": deal.total_price,
        "discount": deal.discount
        and {"type": deal.discount.type.value, "amount": deal.discount.amount},
        "final_price": deal.final_price,
        "auction": auction and {**auction._asdict(), "ends_at": rfc3339(auction.ends_at)},
        "items": deal.item_objects,
        "best_bid": deal.best_bid,
        "reserve_met": auction and is_reserve_met(auction, deal.best_bid),
        **{name: value for name, value in sellers_terms.items() if value is not None},
        "version": deal.version,
        "created_at": rfc3339(deal.created_at),
        "updated_at": rfc3339(deal.updated_at),
    }


def item_object(item: DealItem) -> dict[str, Any]:
    """`apps.deals.selectors` builds the same in SQL."""
    return {"id": str(item.id), "name": item.name, "price": item.price}


def deal_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between the terms of two deal objects, as DEAL_CHANGES has it; empty when nothing
    does."""
    pairs = {name: (old.get(name), new.get(name)) for name in (*_TERMS, *_SELLERS_TERMS)}
    changes: dict[str, tuple[Any, Any]] = {
        name: pair for name, pair in pairs.items() if pair[0] != pair[1]
    }
    if old["items"] != new["items"]:
        changes["items"] = _item_changes(old["items"], new["items"])
    return changes


def _item_changes(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    before = {item["id"]: item for item in old}
    after = {item["id"]: item for item in new}
    stayed = [key for key in before if key in after]
    order = [key for key in after if key in before]
    unmoved = {key for key, other in zip(stayed, order, strict=True) if key == other}
    untouched = {key for key in unmoved if before[key] == after[key]}
    return _listed(old, untouched), _listed(new, untouched)


def _listed(items: list[dict[str, Any]], leave_out: set[str]) -> list[dict[str, Any]]:
    return [
        {**item, "position": position}
        for position, item in enumerate(items)
        if item["id"] not in leave_out
    ]
