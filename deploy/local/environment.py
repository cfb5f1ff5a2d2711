"""The environment of the processes: what the user set, and what the first start makes up.

The settings look for a value in the process environment, then in `.env`, then in the two files
that are written here: DATA_DIR/local.env (secrets, made once) and DATA_DIR/services.env (addresses,
written at every start). So `manage.py` in a second terminal finds what `make run` runs on.
"""

import base64
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from honcho.environ import parse

from deploy.local.errors import LocalError

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


@dataclass(frozen=True)
class Choices:
    """What the user chose, in the process environment or else in `.env`."""

    port: int
    data_dir: Path
    database_url: str
    redis_url: str
    base_url: str
    simulates_hubspot: bool


def read_choices() -> Choices:
    """Raises LocalError if a value cannot be used."""
    values = {**read_variables(ROOT / ".env"), **os.environ}
    port = values.get("PORT") or "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise LocalError(f"PORT is {port!r}: set it to a number from 1 to 65535")
    return Choices(
        port=int(port),
        data_dir=(ROOT / (values.get("DATA_DIR") or "var")).resolve(),
        database_url=values.get("DATABASE_URL", ""),
        redis_url=values.get("REDIS_URL", ""),
        base_url=values.get("BASE_URL") or f"http://127.0.0.1:{port}",
        simulates_hubspot=not (
            values.get("HUBSPOT_BASE_URL") or values.get("HUBSPOT_ACCESS_TOKEN")
        ),
    )


def make_data_dir(data_dir: Path) -> None:
    """Closed to others when it is made here. Raises LocalError if it is not ours to write."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / "run").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LocalError(f"DATA_DIR {data_dir} cannot be used: {error.strerror}") from None


def local_secrets(data_dir: Path) -> dict[str, str]:
    """The secrets of this DATA_DIR, in local.env: read, and made where one is missing."""
    path = data_dir / "local.env"
    made = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ENCRYPTION_KEYS": new_encryption_key(),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "VALKEY_PASSWORD": secrets.token_hex(16),
    }
    known = read_variables(path)
    values = {**made, **known}
    if values != known:
        write_variables(path, values)
    return values


def new_encryption_key() -> str:
    """A key as `cryptography.fernet` takes it, made without importing that."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def write_variables(path: Path, values: Mapping[str, str]) -> None:
    """As a file that `read_variables` and django-environ read, for its owner only."""
    write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by its owner only."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def read_variables(path: Path) -> dict[str, str]:
    """The variables in a file, none if there is no file. Raises LocalError if it is malformed."""
    try:
        return dict(parse(path.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LocalError(f"{path} cannot be read: {error}") from None
