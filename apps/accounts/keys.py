"""The form of an API key: `tp_` + 8 readable characters + `_` + 43 secret ones.

The secret is 32 random bytes in URL-safe base64. Being random it needs no slow hash: SHA-256 of the
whole key is stored and looked up. The prefix tells people which key they are looking at, and tells
secret scanners that it is one.
"""

import hashlib
import re
import secrets
from typing import NamedTuple

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no look-alikes
_FORM = re.compile(r"tp_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


class NewKey(NamedTuple):
    """A fresh key: shown once, kept as `prefix` and `hash`."""

    plain: str
    prefix: str
    hash: bytes


def generate() -> NewKey:
    """A new random key."""
    prefix = "tp_" + "".join(secrets.choice(_ALPHABET) for _ in range(8))
    plain = f"{prefix}_{secrets.token_urlsafe(32)}"
    return NewKey(plain=plain, prefix=prefix, hash=digest(plain))


def digest(plain: str) -> bytes:
    """What is stored of a key (32 bytes)."""
    return hashlib.sha256(plain.encode()).digest()


def is_well_formed(plain: str) -> bool:
    """Whether `plain` can be a key at all; anything else is refused without asking the database."""
    return _FORM.fullmatch(plain) is not None
