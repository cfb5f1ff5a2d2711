"""The life of an order as one table: which step leads where, who may take it, when, and what it does
to the stock. PATCH, the back office and the sweep all go by it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from apps.common.actor import Actor, ActorKind
from apps.orders.enums import MovementKind, OrderStatus
from apps.orders.errors import InvalidTransition
from apps.orders.models import Order

# Says why the step is closed to this order at this moment, or None when it is open.
Guard = Callable[[Order, datetime], str | None]

_PEOPLE = frozenset({ActorKind.API_KEY, ActorKind.USER})
_SYSTEM = frozenset({ActorKind.SYSTEM})


@dataclass(frozen=True, slots=True)
class Transition:
    """One step. `stock` is the movement that each line makes, None when stock stays as it is."""

    source: OrderStatus
    target: OrderStatus
    actors: frozenset[ActorKind] = _PEOPLE
    guard: Guard | None = None
    stock: MovementKind | None = None


def _has_run_out(order: Order, at: datetime) -> str | None:
    ends = order.reservation_expires_at
    if ends is None:
        return "The reservation has no end."
    return None if ends <= at else f"The reservation lasts until {ends:%Y-%m-%d %H:%M:%S} UTC."


# A pending order can be confirmed for as long as its stock is still held, also in the moment between
# the end of its reservation and the sweep: whichever of the two locks the order first wins.
TRANSITIONS = (
    Transition(OrderStatus.PENDING, OrderStatus.CONFIRMED),
    Transition(OrderStatus.PENDING, OrderStatus.CANCELED, stock=MovementKind.RELEASED),
    Transition(
        OrderStatus.PENDING,
        OrderStatus.EXPIRED,
        actors=_SYSTEM,
        guard=_has_run_out,
        stock=MovementKind.RELEASED,
    ),
    Transition(OrderStatus.CONFIRMED, OrderStatus.SHIPPED, stock=MovementKind.SHIPPED),
    Transition(OrderStatus.CONFIRMED, OrderStatus.CANCELED, stock=MovementKind.RELEASED),
    Transition(OrderStatus.SHIPPED, OrderStatus.COMPLETED),
    Transition(OrderStatus.SHIPPED, OrderStatus.RETURNED, stock=MovementKind.RETURNED),
    Transition(OrderStatus.COMPLETED, OrderStatus.RETURNED, stock=MovementKind.RETURNED),
)

_TABLE = {(step.source, step.target): step for step in TRANSITIONS}


def transition(order: Order, target: OrderStatus, actor: Actor, at: datetime) -> Transition:
    """The step from where `order` stands to `target`; raises InvalidTransition with the reason."""
    source = OrderStatus(order.status)
    step = _TABLE.get((source, target))
    if step is None:
        open_to = [one.target.value for one in TRANSITIONS if _is_for(one, source, actor)]
        ways = f"from there it can become {' or '.join(open_to)}" if open_to else "that is its end"
        raise InvalidTransition(
            f"The order is {source.value} and cannot become {target.value}; {ways}."
        )
    if actor.kind not in step.actors:
        raise InvalidTransition(f"An order becomes {target.value} by itself, not on request.")
    closed = step.guard and step.guard(order, at)
    if closed:
        raise InvalidTransition(closed)
    return step


def describe() -> str:
    """The table for people, as Markdown."""
    return "\n".join(
        f"- `{step.source.value}` → `{step.target.value}`"
        + (" (by itself)" if step.actors == _SYSTEM else "")
        + (f", stock is {step.stock.value}" if step.stock else "")
        for step in TRANSITIONS
    )


def _is_for(step: Transition, source: OrderStatus, actor: Actor) -> bool:
    return step.source is source and actor.kind in step.actors
