"""Secrets at rest: a text field whose column holds Fernet tokens (AES-128-CBC and HMAC-SHA256).

The key ring is `ENCRYPTION_KEYS`, newest first: the first key encrypts, all of them decrypt, so that a
new key is put in front and old values stay readable. Each token binds its table and column, so that a
token copied into another column does not decrypt there.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


@cache
def _ring() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


class UndecipherableError(Exception):
    """No key of the ring opens the value: a key was dropped from ENCRYPTION_KEYS too early."""


def rotated(token: bytes) -> bytes | None:
    """The token encrypted anew by the newest key; None when it is by that key already.

    Raises UndecipherableError when no key of the ring opens it.
    """
    try:
        Fernet(settings.ENCRYPTION_KEYS[0]).decrypt(token)
    except InvalidToken:
        try:
            return _ring().rotate(token)
        except InvalidToken as error:
            raise UndecipherableError("No key opens a value.") from error
    return None


if TYPE_CHECKING:  # generic in the stubs alone
    _BinaryField = models.BinaryField[str | None, str | None]
else:
    _BinaryField = models.BinaryField


class EncryptedTextField(_BinaryField):
    """Text that is encrypted in the database and plain in Python; it cannot be filtered by."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def _label(self) -> str:
        return f"{self.model._meta.db_table}.{self.column}"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if isinstance(value, str):
            value = _ring().encrypt(f"{self._label()}\0{value}".encode())
        return super().get_db_prep_value(value, connection, prepared)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> str | None:
        if value is None:
            return None
        try:
            label, _, text = _ring().decrypt(bytes(value)).decode().partition("\0")
        except InvalidToken as error:
            raise UndecipherableError(f"No key opens a value of {self._label()}.") from error
        if label != self._label():
            raise UndecipherableError(f"A value of {label} stands in {self._label()}.")
        return text
