"""The environment of the processes: what the user set, and what the first start makes up."""

import base64
import os

LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


def new_encryption_key() -> str:
    """A key as `cryptography.fernet` takes it, made without importing that."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()
