"""How answers about many bids look."""

from typing import Any

from apps.common.schemas import component, integer, obj

REJECTED_BIDS = component(
    "RejectedBids",
    obj({"rejected": integer("How many bids were rejected.")}),
    example={"rejected": 12},
)


def rejected_bids_object(rejected: int) -> dict[str, Any]:
    return {"rejected": rejected}
