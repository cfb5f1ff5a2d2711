"""One code, sent by several at the same moment, lets one of them in."""

from base64 import b32decode

import pytest
from django_otp.oath import TOTP

from apps.accounts import secondfactor
from apps.accounts.models import SecondFactor, User
from apps.common import clock
from tests.support.concurrency import concurrently

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person() -> User:
    return User.objects.create_superuser("boss")


def code_of(person: User) -> str:
    totp = TOTP(b32decode(str(SecondFactor.objects.get(user=person).secret)))
    totp.time = clock.now().timestamp()
    return f"{totp.token():06d}"


def is_taken(person: User, code: str) -> bool:
    try:
        secondfactor.check(person, code)
    except secondfactor.CodeRefused:
        return False
    return True


def test_a_code_of_the_app(person: User) -> None:
    secondfactor.begin(person)
    SecondFactor.objects.update(confirmed_at=clock.now())
    code = code_of(person)

    taken = concurrently(4, lambda _: is_taken(person, code))

    assert sorted(taken) == [False, False, False, True]


def test_a_backup_code(person: User) -> None:
    secondfactor.begin(person)
    SecondFactor.objects.update(confirmed_at=clock.now())
    code, *_ = secondfactor.renew_backup_codes(person)

    taken = concurrently(4, lambda _: is_taken(person, code))

    assert sorted(taken) == [False, False, False, True]
    assert len(SecondFactor.objects.get().backup_hashes) == 9


def test_guesses_at_once_are_looked_at_one_by_one(person: User) -> None:
    """Whoever sends many at the same moment has one of them looked at, the rest wait."""
    secondfactor.begin(person)
    SecondFactor.objects.update(confirmed_at=clock.now())

    taken = concurrently(8, lambda number: is_taken(person, f"x{number}"))

    assert not any(taken)
    assert SecondFactor.objects.get().failures == 1
