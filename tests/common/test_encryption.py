"""Secrets at rest: nothing readable in the database, keys can be rotated, a token stays in its column."""

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as django_settings
from django.db import connection, models
from hypothesis import given
from hypothesis import strategies as st

from apps.common import encryption
from apps.common.encryption import EncryptedTextField, UndecipherableError
from tests.support import table_of


class Vault(models.Model):
    """Something with secrets."""

    secret = EncryptedTextField()
    other = EncryptedTextField(null=True)

    objects: ClassVar[models.Manager["Vault"]] = models.Manager()

    class Meta:
        app_label = "tests"

    def __str__(self) -> str:
        return "vault"


@pytest.fixture(autouse=True)
def _vaults(db: None) -> Iterator[None]:
    with table_of(Vault):
        yield


@pytest.fixture
def use_keys() -> Iterator[Callable[..., None]]:
    """Sets ENCRYPTION_KEYS, newest first."""
    usual = django_settings.ENCRYPTION_KEYS

    def use(*keys: str) -> None:
        django_settings.ENCRYPTION_KEYS = list(keys)
        encryption._ring.cache_clear()

    yield use
    use(*usual)


def raw(column: str = "secret") -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM tests_vault")
        return bytes(cursor.fetchone()[0])


@given(st.text())
def test_what_is_stored_comes_back(text: str) -> None:
    vault = Vault.objects.create(secret=text)

    assert Vault.objects.get(pk=vault.pk).secret == text
    assert Vault.objects.get(pk=vault.pk).other is None


def test_the_database_holds_nothing_readable() -> None:
    Vault.objects.create(secret="correct horse battery staple")

    assert b"horse" not in raw()


def test_the_same_text_is_stored_differently_each_time() -> None:
    Vault.objects.create(secret="same", other="same")

    assert raw("secret") != raw("other")


def test_an_update_encrypts_too() -> None:
    vault = Vault.objects.create(secret="old")

    Vault.objects.filter(pk=vault.pk).update(secret="new")

    assert b"new" not in raw()
    assert Vault.objects.get().secret == "new"


def test_a_new_key_is_put_in_front_and_old_values_stay_readable(
    use_keys: Callable[..., None],
) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    use_keys(old)
    vault = Vault.objects.create(secret="text")

    use_keys(new, old)
    assert Vault.objects.get().secret == "text"

    vault.save()
    use_keys(new)
    assert Vault.objects.get().secret == "text"


def test_a_key_that_is_gone_is_told(use_keys: Callable[..., None]) -> None:
    use_keys(Fernet.generate_key().decode())
    Vault.objects.create(secret="text")

    use_keys(Fernet.generate_key().decode())

    with pytest.raises(UndecipherableError, match=r"tests_vault\.secret"):
        Vault.objects.get()


def test_a_token_does_not_open_in_another_column() -> None:
    Vault.objects.create(secret="text")

    with connection.cursor() as cursor:
        cursor.execute("UPDATE tests_vault SET other = secret")

    with pytest.raises(UndecipherableError, match=r"tests_vault\.other"):
        Vault.objects.get()
