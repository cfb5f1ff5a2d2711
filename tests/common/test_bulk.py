"""Actions on many objects: written down, done one by one, each once, whoever dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission

from apps.accounts.models import Account, User
from apps.common import bulk
from apps.common.actor import Actor, ActorKind
from apps.common.bulk import Operation
from apps.common.errors import Conflict, Invalid
from apps.common.ids import uuid7
from apps.common.models import BulkAction, BulkItem
from tests.conftest import MakeAccount
from tests.support.concurrency import concurrently
from tests.support.process import ROOT, database_url

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = Actor(kind=ActorKind.USER, id=str(uuid4()), label="operator", request_id="req-1")
RIGHT = "accounts.change_account"


@pytest.fixture(autouse=True)
def person(db: None) -> User:
    return User.objects.create_superuser("operator", id=PERSON.id)


def rename(account: Account, actor: Actor, inputs: Mapping[str, Any]) -> str:
    """Appends to the name, so that whatever is done twice can be seen."""
    if account.slug == "refusing":
        raise Conflict("It does not want to.")
    if account.slug == "broken":
        raise RuntimeError("boom")
    Account.objects.filter(pk=account.pk).update(name=f"{account.name}+{actor.label}{inputs['to']}")
    return f"{account} is renamed."


@pytest.fixture
def renaming() -> Iterator[Operation]:
    operation = Operation(
        name="tests.account.rename",
        title="Rename: accounts",
        model=Account,
        act=rename,
        read=lambda row, inputs: inputs,
        permission=RIGHT,
    )
    bulk.register(operation)
    yield operation
    del bulk._operations[operation.name]


def start(operation: Operation, *slugs: str) -> BulkAction:
    chosen = Account.objects.filter(slug__in=slugs)
    return bulk.start(operation=operation, objects=chosen, inputs={"to": "!"}, actor=PERSON)


def names() -> dict[str, str]:
    return dict(Account.objects.values_list("slug", "name"))


def finish() -> None:
    while bulk.do_next():
        pass


def test_each_is_done_once_and_refusals_say_why(
    make_account: MakeAccount, renaming: Operation
) -> None:
    for slug in ("one", "refusing", "broken", "two"):
        make_account(slug, name=slug)
    action = start(renaming, "one", "refusing", "broken", "two")

    finish()

    action.refresh_from_db()
    assert (action.state, action.total, action.done, action.refused) == ("completed", 4, 2, 2)
    assert action.ended_at is not None
    assert names() == {
        "one": "one+operator!", "refusing": "refusing", "broken": "broken", "two": "two+operator!"
    }  # fmt: skip
    refused = dict(action.items.filter(outcome="refused").values_list("object_id", "detail"))
    accounts = {account.slug: str(account.pk) for account in Account.objects.all()}
    assert refused[accounts["refusing"]] == "It does not want to."
    assert refused[accounts["broken"]] == bulk.UNEXPECTED


def test_the_choice_is_that_of_the_moment_it_was_asked_for(
    make_account: MakeAccount, renaming: Operation
) -> None:
    make_account("here", name="here")
    everybody = Account.objects.all()
    action = bulk.start(operation=renaming, objects=everybody, inputs={"to": "!"}, actor=PERSON)
    make_account("later", name="later")

    finish()

    action.refresh_from_db()
    assert action.total == 1
    assert names()["later"] == "later"


def test_what_is_gone_or_unknown_is_refused(make_account: MakeAccount, renaming: Operation) -> None:
    make_account("leaving")
    action = start(renaming, "leaving")
    Account.objects.all().delete()
    make_account("staying")
    other = start(renaming, "staying")
    BulkAction.objects.filter(pk=other.pk).update(operation="tests.account.forgotten")

    finish()

    assert [item.detail for item in action.items.all()] == ["It is there no more."]
    assert [item.detail for item in other.items.all()] == [
        "This release does not know how to do that."
    ]


def test_too_many_are_refused_and_nothing_is_owed(
    make_account: MakeAccount, renaming: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_OBJECTS", 1)
    make_account("one")
    make_account("two")

    with pytest.raises(Invalid, match="Narrow the filter"):
        start(renaming, "one", "two")

    assert not BulkAction.objects.exists()


def test_a_canceled_one_does_no_more(make_account: MakeAccount, renaming: Operation) -> None:
    make_account("one", name="one")
    make_account("two", name="two")
    action = start(renaming, "one", "two")
    bulk.do_next()

    assert bulk.cancel(action_id=action.pk)
    assert not bulk.cancel(action_id=action.pk)
    finish()

    action.refresh_from_db()
    assert (action.state, action.done) == ("canceled", 1)
    assert sorted(name.count("!") for name in names().values()) == [0, 1]


@pytest.mark.parametrize("change", ["is_superuser", "is_active", "is_staff"])
def test_who_loses_the_right_meanwhile_has_nothing_more_done(
    make_account: MakeAccount, renaming: Operation, person: User, change: str
) -> None:
    for slug in ("one", "two", "three"):
        make_account(slug, name=slug)
    action = start(renaming, "one", "two", "three")
    bulk.do_next()

    User.objects.filter(pk=person.pk).update(**{change: False})
    finish()

    action.refresh_from_db()
    assert (action.state, action.done, action.refused) == ("canceled", 1, 1)
    assert sum("!" in name for name in names().values()) == 1
    assert "operator may not do this any more" in action.items.get(outcome="refused").detail


def test_a_right_of_the_very_operation_is_enough(
    make_account: MakeAccount, renaming: Operation, person: User
) -> None:
    User.objects.filter(pk=person.pk).update(is_superuser=False, is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="change_account"))
    make_account("one")
    action = start(renaming, "one")

    finish()

    action.refresh_from_db()
    assert (action.state, action.done) == ("completed", 1)


def test_asked_for_twice_by_one_confirmation_it_is_begun_once(
    make_account: MakeAccount, renaming: Operation
) -> None:
    make_account("one", name="one")
    wanted = uuid7()

    def ask(_: int) -> BulkAction:
        everybody = Account.objects.all()
        return bulk.start(
            operation=renaming,
            objects=everybody,
            inputs={"to": "!"},
            actor=PERSON,
            action_id=wanted,
        )

    begun = concurrently(2, ask)
    finish()

    assert [action.pk for action in begun] == [wanted, wanted]
    assert names() == {"one": "one+operator!"}


def test_several_workers_do_none_twice(make_account: MakeAccount, renaming: Operation) -> None:
    slugs = [f"account-of-many-{number}" for number in range(30)]
    for slug in slugs:
        make_account(slug, name="")
    actions = [start(renaming, *slugs[:15]), start(renaming, *slugs[15:])]

    concurrently(4, lambda _: finish())
    finish()

    assert set(names().values()) == {"+operator!"}
    for action in actions:
        action.refresh_from_db()
        assert (action.state, action.done) == ("completed", 15)


def test_it_acts_as_who_asked_and_in_that_request(
    make_account: MakeAccount, renaming: Operation
) -> None:
    seen: list[Actor] = []

    def look(account: Account, actor: Actor, inputs: Mapping[str, Any]) -> str:
        seen.append(actor)
        return "seen"

    operation = Operation(renaming.name, "Look", Account, look, lambda row, inputs: inputs, RIGHT)
    bulk.register(operation)
    make_account("one")
    start(operation, "one")

    finish()

    assert seen == [PERSON]


def test_old_ones_are_forgotten(make_account: MakeAccount, renaming: Operation) -> None:
    make_account("one")
    old, young = start(renaming, "one"), start(renaming, "one")
    finish()
    BulkAction.objects.filter(pk=old.pk).update(ended_at="2026-01-01T00:00:00Z")

    bulk.trim()

    assert list(BulkAction.objects.all()) == [young]


@pytest.mark.slow
def test_killed_in_the_middle_nothing_is_lost_or_done_twice(make_account: MakeAccount) -> None:
    ids = [make_account(f"killed-{number}", name="").pk for number in range(40)]
    action = BulkAction.objects.create(
        operation=DYING, title="Die", total=40, inputs={}, actor=PERSON.as_json()
    )
    action.items.bulk_create([BulkItem(action=action, object_id=str(pk)) for pk in ids])

    for _ in range(5):
        assert run_dying("7") == -signal.SIGKILL
        doing = Account.objects.exclude(name="").count()
        action.refresh_from_db()
        assert action.done == doing
    assert run_dying("1000") == 0

    action.refresh_from_db()
    assert (action.state, action.done) == ("completed", 40)
    assert set(names().values()) == {"done"}


DYING = "tests.account.dying"


def run_dying(nth: str) -> int:
    """A worker that does what there is, and kills itself within its n-th object."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.common.dying", nth],
        env={**os.environ, "DATABASE_URL": database_url()},
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    return done.returncode
