"""Actions of the back office: one thing done to each of many objects.

A few are done at once, by whoever asks. Many are a BulkAction: which objects it is about is written down
when it is asked for, and the job `common.bulk` does it to one after the other, each in a transaction with
the record of what became of it. So whoever is killed in the middle leaves nothing half done, and nothing
is done twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now
from psycopg import errors as pg

from apps.common.actor import Actor, ActorKind
from apps.common.errors import DomainError, Invalid
from apps.common.models import BulkAction, BulkItem, BulkOutcome, BulkState
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit

JOB = "common.bulk"
MAX_OBJECTS = 50_000
KEPT = timedelta(days=30)
MAX_DETAIL = 500
UNEXPECTED = "It failed in a way that nobody foresaw; the log tells how."

log = structlog.get_logger(__name__)


class Revealed(NamedTuple):
    """What was done, with a secret to be shown this once and written down nowhere."""

    said: str
    secret: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be done to objects of a model; `name` is how a BulkAction remembers it.

    `act` does it to one object, for an actor, with what `read` makes of the inputs as a person gave them;
    it says what it did, or raises DomainError.
    """

    name: str
    title: str
    model: type[Model]
    act: Callable[[Any, Actor, Mapping[str, Any]], str | Revealed]
    read: Callable[[Mapping[str, str]], Mapping[str, Any]]


class Result(NamedTuple):
    """What became of one object: `said` is what was done, or why it was refused."""

    is_done: bool
    said: str
    secret: str = ""


_operations: dict[str, Operation] = {}


def register(operation: Operation) -> None:
    """Let bulk actions name it; the pages of the back office do, when they are loaded."""
    _operations[operation.name] = operation


def carry_out(operation: Operation, row: Model, actor: Actor, inputs: Mapping[str, str]) -> Result:
    """Do it to one object."""
    try:
        done = operation.act(row, actor, operation.read(inputs))
    except DomainError as error:
        details = dict.fromkeys([error.detail, *(fault.detail for fault in error.faults)])
        return Result(False, " ".join(details))
    return Result(True, *done) if isinstance(done, Revealed) else Result(True, done)


@transaction.atomic
def start(
    *, operation: Operation, objects: "QuerySet[Any]", inputs: Mapping[str, str], actor: Actor
) -> BulkAction:
    """Owe an operation to the objects that are in `objects` now; raises Invalid when these are too many."""
    action = BulkAction.objects.create(
        operation=operation.name,
        title=operation.title,
        inputs=dict(inputs),
        actor=actor.as_json(),
        request_id=actor.request_id,
    )
    chosen = objects.order_by("pk").values("pk")[: MAX_OBJECTS + 1]
    query, parameters = chosen.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO common_bulkitem (action_id, object_id, outcome, detail)"  # noqa: S608 - the query is Django's, values are bound
            f" SELECT %s, chosen.id::text, '', '' FROM ({query}) AS chosen(id)",
            [action.pk, *parameters],
        )
        action.total = cursor.rowcount
    if action.total > MAX_OBJECTS:
        raise Invalid(
            f"These are more than {MAX_OBJECTS:,}. Narrow the filter and do them in parts."
        )
    action.save(update_fields=["total"])
    wake_on_commit(JOB)
    return action


def cancel(*, action_id: UUID) -> bool:
    """Do no more of it; what is done stays. False when it had ended."""
    running = BulkAction.objects.filter(pk=action_id, state=BulkState.RUNNING)
    return running.update(state=BulkState.CANCELED, ended_at=Now()) == 1


@retried
@transaction.atomic
def do_next() -> bool:
    """Do the next object of the oldest action that nobody else is at; False when there is none."""
    action = (
        BulkAction.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(state=BulkState.RUNNING)
        .order_by("id")
        .first()
    )
    if action is None:
        return False
    row = BulkAction.objects.filter(pk=action.pk)
    item = action.items.filter(outcome="").order_by("id").first()
    if item is None:
        row.update(state=BulkState.COMPLETED, ended_at=Now())
        return True
    result = _attempt(action, item)
    item.outcome = BulkOutcome.DONE if result.is_done else BulkOutcome.REFUSED
    item.detail = "" if result.is_done else result.said[:MAX_DETAIL]
    item.save(update_fields=["outcome", "detail"])
    counter = "done" if result.is_done else "refused"
    row.update(**{counter: F(counter) + 1})
    return True


def trim() -> None:
    """Forget bulk actions that ended more than 30 days ago."""
    BulkAction.objects.filter(ended_at__lt=Now() - KEPT).delete()


def _attempt(action: BulkAction, item: BulkItem) -> Result:
    """Do it to one object, whatever that may raise: what one refuses stops no other."""
    operation = _operations.get(action.operation)
    if operation is None:
        return Result(False, "This release does not know how to do that.")
    try:
        with transaction.atomic():
            row = operation.model._default_manager.filter(pk=item.object_id).first()
            if row is None:
                return Result(False, "It is there no more.")
            return carry_out(operation, row, _actor(action), action.inputs)
    except OperationalError as error:
        if isinstance(error.__cause__, (pg.QueryCanceled, pg.LockNotAvailable)):
            return Result(False, "The database took too long; try this one again.")
        raise
    except InterfaceError:
        raise
    except Exception:
        log.exception("bulk_item_failed", action=str(action.pk), object=item.object_id)
        return Result(False, UNEXPECTED)


def _actor(action: BulkAction) -> Actor:
    asked = action.actor
    return Actor(
        kind=ActorKind(asked["kind"]),
        id=asked["id"],
        label=asked["label"],
        request_id=action.request_id,
    )
