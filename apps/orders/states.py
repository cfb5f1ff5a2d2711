"""The life of an order as one table: which step leads where, who may take it, when, and what it does
to the stock. PATCH, shipments and returns, the back office and the sweep all go by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.common.actor import Actor, ActorKind
from apps.orders.enums import MovementKind, OrderStatus
from apps.orders.errors import InvalidTransition
from apps.orders.models import Order, OrderLine

_PEOPLE = frozenset({ActorKind.API_KEY, ActorKind.USER})
_SYSTEM = frozenset({ActorKind.SYSTEM})


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of a step. `rule` says it for all orders; `closed` says why it does not hold for this
    one at this moment, or None when it does."""

    rule: str
    closed: Callable[[Order, Sequence[OrderLine], datetime], str | None]


@dataclass(frozen=True, slots=True)
class Transition:
    """One step. `stock` is the movement that the lines make, None when stock stays as it is."""

    source: OrderStatus
    target: OrderStatus
    actors: frozenset[ActorKind] = _PEOPLE
    guard: Guard | None = None
    stock: MovementKind | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Whether an order may go to `target` now, and if not, why."""

    target: OrderStatus
    actors: frozenset[ActorKind]
    closed: str | None


def _still_reserved(order: Order, lines: Sequence[OrderLine], at: datetime) -> str | None:
    ends = order.reservation_expires_at
    if ends is None:
        return "The reservation has no end."
    return None if ends <= at else f"The reservation lasts until {ends:%Y-%m-%d %H:%M:%S} UTC."


def _still_out(order: Order, lines: Sequence[OrderLine], at: datetime) -> str | None:
    out = sum(line.out for line in lines)
    if not out:
        return None
    return (
        f"{out} of its pieces {'has' if out == 1 else 'have'} been shipped. Record their return first, or change the items to "
        "those that were shipped, or ship the rest."
    )


_RAN_OUT = Guard("its reservation ran out", _still_reserved)
_NOTHING_OUT = Guard("nothing of it is shipped, or all that was has come back", _still_out)

# A pending order can be confirmed for as long as its stock is still held, also in the moment between
# the end of its reservation and the sweep: whichever of the two locks the order first wins.
TRANSITIONS = (
    Transition(OrderStatus.PENDING, OrderStatus.CONFIRMED),
    Transition(OrderStatus.PENDING, OrderStatus.CANCELED, stock=MovementKind.RELEASED),
    Transition(
        OrderStatus.PENDING,
        OrderStatus.EXPIRED,
        actors=_SYSTEM,
        guard=_RAN_OUT,
        stock=MovementKind.RELEASED,
    ),
    Transition(OrderStatus.CONFIRMED, OrderStatus.SHIPPED, stock=MovementKind.SHIPPED),
    Transition(
        OrderStatus.CONFIRMED,
        OrderStatus.CANCELED,
        guard=_NOTHING_OUT,
        stock=MovementKind.RELEASED,
    ),
    Transition(OrderStatus.SHIPPED, OrderStatus.COMPLETED),
    Transition(OrderStatus.SHIPPED, OrderStatus.RETURNED, stock=MovementKind.RETURNED),
    Transition(OrderStatus.COMPLETED, OrderStatus.RETURNED, stock=MovementKind.RETURNED),
)

_TABLE = {(step.source, step.target): step for step in TRANSITIONS}


def transition(
    order: Order, lines: Sequence[OrderLine], target: OrderStatus, actor: Actor, at: datetime
) -> Transition:
    """The step from where `order` stands to `target`; raises InvalidTransition with the reason."""
    closed = _closed(order, lines, target, actor.kind, at)
    if closed is not None:
        raise InvalidTransition(closed)
    return _TABLE[OrderStatus(order.status), target]


def ways(order: Order, lines: Sequence[OrderLine], kind: ActorKind, at: datetime) -> list[Way]:
    """For an actor of this kind, the way to every other status, open or closed."""
    source = OrderStatus(order.status)
    return [
        Way(
            target=target,
            actors=_TABLE[source, target].actors if (source, target) in _TABLE else frozenset(),
            closed=_closed(order, lines, target, kind, at),
        )
        for target in OrderStatus
        if target is not source
    ]


def describe() -> str:
    """The table for people, as Markdown."""
    rows = ["| from | to | who | when | stock |", "|---|---|---|---|---|"]
    for step in TRANSITIONS:
        who = "by itself" if step.actors == _SYSTEM else "API key, back office"
        when = step.guard.rule if step.guard else "always"
        stock = step.stock.value if step.stock else "stays"
        rows.append(f"| `{step.source}` | `{step.target}` | {who} | {when} | {stock} |")
    return "\n".join(rows)


def _closed(
    order: Order,
    lines: Sequence[OrderLine],
    target: OrderStatus,
    kind: ActorKind,
    at: datetime,
) -> str | None:
    """Why the order cannot go to `target`; None when it can."""
    source = OrderStatus(order.status)
    step = _TABLE.get((source, target))
    if step is None:
        open_to = [one.target for one in TRANSITIONS if one.source is source and kind in one.actors]
        on = f"from there it can become {' or '.join(open_to)}" if open_to else "that is its end"
        return f"The order is {source} and cannot become {target}; {on}."
    if kind not in step.actors:
        return f"An order becomes {target} by itself, not on request."
    return step.guard.closed(order, lines, at) if step.guard else None
