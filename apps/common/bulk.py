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
from django.contrib.auth import get_user_model
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Model, QuerySet
from django.db.models.functions import Now
from django.utils.module_loading import autodiscover_modules
from psycopg import errors as pg

from apps.common.actor import Actor, ActorKind
from apps.common.errors import DomainError, Invalid
from apps.common.ids import uuid7
from apps.common.models import BulkAction, BulkItem, BulkOutcome, BulkState
from apps.common.retries import retried
from apps.common.wakeups import wake_on_commit

JOB = "common.bulk"
MAX_OBJECTS = 50_000
KEPT = timedelta(days=30)
MAX_DETAIL = 500
UNEXPECTED = "It failed in a way that nobody foresaw; the log tells how."
TOO_LONG = "The database took too long; try this one again."

log = structlog.get_logger(__name__)


class Revealed(NamedTuple):
    """What was done, with a secret to be shown this once and written down nowhere."""

    said: str
    secret: str


@dataclass(frozen=True, slots=True)
class Operation:
    """What can be done to objects of a model; `name` is how a BulkAction remembers it.

    `act` does it to one object, for an actor, with what `read` makes for it of the inputs as a person gave
    them; it says what it did, or raises DomainError. `permission` is what whoever asked must still be allowed when
    the turn of an object comes (`orders.change_order`).
    """

    name: str
    title: str
    model: type[Model]
    act: Callable[[Any, Actor, Mapping[str, Any]], str | Revealed]
    read: Callable[[Any, Mapping[str, str]], Mapping[str, Any]]
    permission: str


class Result(NamedTuple):
    """What became of one object: `said` is what was done, or why it was refused."""

    is_done: bool
    said: str
    secret: str = ""


_operations: dict[str, Operation] = {}


def register(operation: Operation) -> None:
    """Let bulk actions name it; the pages of the back office do, when they are loaded."""
    _operations[operation.name] = operation


def registered(name: str) -> Operation | None:
    """The operation of that name; None when this release has none.

    A worker has not loaded the pages (docs/adr/0034): it does when it is first asked for one of theirs.
    """
    if name not in _operations:
        autodiscover_modules("admin")
    return _operations.get(name)


def carry_out(operation: Operation, row: Model, actor: Actor, inputs: Mapping[str, str]) -> Result:
    """Do it to one object."""
    try:
        done = operation.act(row, actor, operation.read(row, inputs))
    except DomainError as error:
        details = dict.fromkeys([error.detail, *(fault.detail for fault in error.faults)])
        return Result(False, " ".join(details))
    return Result(True, *done) if isinstance(done, Revealed) else Result(True, done)


def begun(action_id: UUID) -> BulkAction | None:
    """The action of that id, if it was asked for."""
    return BulkAction.objects.filter(pk=action_id).first()


@transaction.atomic
def start(
    *,
    operation: Operation,
    objects: "QuerySet[Any]",
    inputs: Mapping[str, str],
    actor: Actor,
    action_id: UUID | None = None,
) -> BulkAction:
    """Owe an operation to the objects that are in `objects` now; raises Invalid when these are too many.

    Asked for again by the same `action_id`, it is the one that was begun.
    """
    action, is_new = BulkAction.objects.get_or_create(
        pk=action_id or uuid7(),
        defaults={
            "operation": operation.name,
            "title": operation.title,
            "inputs": dict(inputs),
            "actor": actor.as_json(),
            "request_id": actor.request_id,
        },
    )
    if not is_new:
        return action
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
    operation = registered(action.operation)
    is_allowed = operation is None or _may_still(action, operation)
    result = (
        _attempt(action, operation, item) if is_allowed else Result(False, _not_allowed(action))
    )
    item.outcome = BulkOutcome.DONE if result.is_done else BulkOutcome.REFUSED
    item.detail = "" if result.is_done else result.said[:MAX_DETAIL]
    item.save(update_fields=["outcome", "detail"])
    counter = "done" if result.is_done else "refused"
    row.update(**{counter: F(counter) + 1})
    if not is_allowed:
        row.update(state=BulkState.CANCELED, ended_at=Now())
    return True


def trim() -> None:
    """Forget bulk actions that ended more than 30 days ago."""
    BulkAction.objects.filter(ended_at__lt=Now() - KEPT).delete()


def _may_still(action: BulkAction, operation: Operation) -> bool:
    """Whether the person who asked may do this now: a role can be taken away while the job runs."""
    person = get_user_model().objects.filter(pk=action.actor["id"], is_staff=True).first()
    return person is not None and person.has_perm(operation.permission)


def _not_allowed(action: BulkAction) -> str:
    return f"{action.actor['label']} may not do this any more; so nothing further is done."


def _attempt(action: BulkAction, operation: Operation | None, item: BulkItem) -> Result:
    """Do it to one object, whatever that may raise: what one refuses stops no other."""
    if operation is None:
        return Result(False, "This release does not know how to do that.")
    try:
        with transaction.atomic():
            row = operation.model._default_manager.filter(pk=item.object_id).first()
            if row is None:
                return Result(False, "It is there no more.")
            return carry_out(operation, row, _actor(action), action.inputs)
    except OperationalError as error:
        if took_too_long(error):
            return Result(False, TOO_LONG)
        raise
    except InterfaceError:
        raise
    except Exception:
        log.exception("bulk_item_failed", action=str(action.pk), object=item.object_id)
        return Result(False, UNEXPECTED)


def took_too_long(error: OperationalError) -> bool:
    """Whether it was a statement, or a lock of somebody else, that took too long; all else is well."""
    return isinstance(error.__cause__, (pg.QueryCanceled, pg.LockNotAvailable))


def _actor(action: BulkAction) -> Actor:
    asked = action.actor
    return Actor(
        kind=ActorKind(asked["kind"]),
        id=asked["id"],
        label=asked["label"],
        request_id=action.request_id,
    )
