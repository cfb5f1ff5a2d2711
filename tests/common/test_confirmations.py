"""What is confirmed is done once to each object, however often and by how many it is sent."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.accounts.models import Account
from apps.common.actor import Actor, ActorKind
from apps.common.bulk import Operation, Result, Revealed
from apps.common.confirmations import carry_out_once
from apps.common.errors import Conflict
from apps.common.models import IdempotencyKey
from tests.conftest import MakeAccount
from tests.support.concurrency import concurrently

pytestmark = pytest.mark.django_db(transaction=True)

PERSON = Actor(kind=ActorKind.USER, id=str(uuid4()), label="operator", request_id="req-1")


def extend(account: Account, actor: Actor, inputs: Mapping[str, Any]) -> Revealed:
    if inputs["by"] == "nothing":
        raise Conflict("That is not enough.")
    present = Account.objects.select_for_update().get(pk=account.pk)
    Account.objects.filter(pk=account.pk).update(name=present.name + inputs["by"])
    return Revealed(f"{account} is extended.", "a secret")


EXTENDING = Operation(
    "tests.account.extend",
    "Extend",
    Account,
    extend,
    lambda row, inputs: inputs,
    "accounts.change_account",
)


def confirm(account: Account, confirmation: UUID, by: str = "!") -> Result:
    return carry_out_once(
        operation=EXTENDING,
        row=account,
        actor=PERSON,
        inputs={"by": by},
        confirmation=confirmation,
    )


def test_sent_again_it_says_what_was_done_and_no_secret(make_account: MakeAccount) -> None:
    account, once = make_account("one", name=""), uuid4()

    first, second = confirm(account, once), confirm(account, once)

    assert first == Result(True, "one is extended.", "a secret")
    assert second == Result(
        True, "This was sent before, and is not done again: one is extended.", ""
    )
    assert Account.objects.get().name == "!"
    assert "a secret" not in str(list(IdempotencyKey.objects.values()))


def test_sent_twice_at_the_same_moment_it_is_done_once(make_account: MakeAccount) -> None:
    account, once = make_account("one", name=""), uuid4()

    results = concurrently(4, lambda _: confirm(account, once))

    assert Account.objects.get().name == "!"
    assert sorted(bool(result.secret) for result in results) == [False, False, False, True]


def test_another_confirmation_does_it_once_more(make_account: MakeAccount) -> None:
    account = make_account("one", name="")

    assert confirm(account, uuid4()).said == confirm(account, uuid4()).said

    assert Account.objects.get().name == "!!"


def test_what_was_refused_can_be_sent_again(make_account: MakeAccount) -> None:
    account, once = make_account("one", name=""), uuid4()

    assert confirm(account, once, by="nothing") == Result(False, "That is not enough.")
    assert confirm(account, once).is_done


def test_one_confirmation_is_not_for_two_things(make_account: MakeAccount) -> None:
    account, once = make_account("one", name=""), uuid4()
    confirm(account, once)

    other = confirm(account, once, by="?")

    assert not other.is_done
    assert "Take the action anew" in other.said
    assert Account.objects.get().name == "!"
