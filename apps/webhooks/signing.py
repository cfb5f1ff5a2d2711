"""Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`."""

import base64
import hmac
import secrets
from collections.abc import Iterable
from uuid import UUID

PREFIX = "whsec_"
KEY_BYTES = 32


def new_secret() -> str:
    """A fresh secret, as the account keeps it: `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key inside a secret."""
    return base64.b64decode(secret.removeprefix(PREFIX))


def signature(keys: Iterable[bytes], message_id: UUID | str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1,` signature for each key, separated by spaces."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys
    )
