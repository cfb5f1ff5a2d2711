"""Making, changing and deleting streams. Secrets go in and never come out again."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models.functions import Now

from apps.accounts.models import Account
from apps.common import clock
from apps.common.outgoing import guard
from apps.common.outgoing.connections import origin
from apps.common.versions import require_version
from apps.datafetch import selectors
from apps.datafetch.enums import State, Trigger
from apps.datafetch.errors import StreamInvalid, TooManyStreams
from apps.datafetch.limits import STREAMS_PER_ACCOUNT
from apps.datafetch.models import Progress, Run, Stream
from apps.datafetch.services.checkpoints import Checkpoint
from apps.datafetch.services.commands import end_soon, locked
from apps.datafetch.services.schedule import next_time
from apps.datafetch.sources.expressions import compiled
from apps.datafetch.sources.failures import is_sensitive

DEFAULT_INTERVAL = 300
# Of each kind of authentication: which of its members is secret.
SECRET_MEMBER = {
    "bearer": "token",
    "api_key": "value",
    "basic": "password",
    "oauth2_client_credentials": "client_secret",
}
# A change of any of these makes a run in progress begin anew.
_HOW_IT_IS_READ = frozenset(
    {"url", "pagination", "cursor", "auth", "headers", "params", "records_path", "primary_key"}
    | {"mapping", "secrets", "secret_headers", "secret_params"}
)

Secrets = dict[str, dict[str, str]]


@transaction.atomic
def create_stream(*, account_id: UUID, name: str, url: str, **config: Any) -> Stream:
    """Make a stream, stopped. Whether its URLs may be called is the door's to find out (it takes DNS)."""
    Account.objects.select_for_update().get(pk=account_id)
    if Stream.objects.filter(account_id=account_id, deleted_at=None).count() >= STREAMS_PER_ACCOUNT:
        raise TooManyStreams(f"An account has at most {STREAMS_PER_ACCOUNT} streams.")
    fresh = drafted(account_id=account_id, name=name, url=url, **config)
    fresh.save(force_insert=True)
    Progress.objects.create(stream=fresh, account_id=account_id)
    return selectors.stream(account_id, fresh.id)


def drafted(*, account_id: UUID, name: str, url: str, **config: Any) -> Stream:
    """A stream as it would be made; nothing is stored. Raises StreamInvalid."""
    fresh = Stream(account_id=account_id, name=name, url=url, **_NOTHING_YET)
    return altered_by(fresh, {**_DEFAULTS, **config})


def altered_by(current: Stream, changes: Mapping[str, Any]) -> Stream:
    """A copy of a stream, its secrets kept where they may be, as `changes` would leave it; nothing is
    stored. Raises StreamInvalid."""
    draft = copy(current)
    for column, value in _columns(current, changes).items():
        setattr(draft, column, value)
    return draft


@transaction.atomic
def update_stream(
    *,
    account_id: UUID,
    stream_id: UUID,
    changes: Mapping[str, Any],
    expected: frozenset[int] | None = None,
) -> Stream:
    """Change how it is read or when; a run in progress begins anew with what has changed."""
    current, progress = locked(account_id, stream_id)
    require_version(current.version, expected)
    columns = _columns(current, changes)
    altered = {name: value for name, value in columns.items() if getattr(current, name) != value}
    if altered:
        before = copy(current)
        for column, value in altered.items():
            setattr(current, column, value)
        current.version += 1
        current.updated_at = clock.now()
        if _other_keys(before, current):
            current.keyed_at = current.updated_at
        current.save(update_fields=[*altered, "version", "updated_at", "keyed_at"])
        _follow(current, progress, set(altered))
    return selectors.stream(account_id, stream_id)


@transaction.atomic
def delete_stream(
    *, account_id: UUID, stream_id: UUID, expected: frozenset[int] | None = None
) -> None:
    """Delete it and its secrets now, and all that it fetched little by little."""
    current, progress = locked(account_id, stream_id)
    require_version(current.version, expected)
    Stream.objects.filter(pk=stream_id).update(
        deleted_at=Now(), state=State.STOPPED, secrets="{}", version=current.version + 1
    )
    end_soon(progress)
    Progress.objects.filter(pk=stream_id).update(token=None, token_expires_at=None)


_NOTHING_YET: dict[str, Any] = {
    "pagination": {"type": "none"},
    "auth": {"type": "none"},
    "secrets": "{}",
}
_DEFAULTS: dict[str, Any] = {"interval_seconds": None, "cron": None}


def _columns(current: Stream, given: Mapping[str, Any]) -> dict[str, Any]:
    """What `given` means for the stream's columns; raises StreamInvalid."""
    columns = {name: value for name, value in given.items() if name not in ("auth", "cron")}
    columns |= _schedule(current, given)
    kept: Secrets = orjson.loads(current.secrets or "{}")
    secrets: Secrets = {name: dict(values) for name, values in kept.items()}
    resent = set()
    if "auth" in given:
        columns["auth"], secrets["auth"] = _auth(current.auth, given["auth"], kept.get("auth", {}))
        if all(given["auth"].get(name) is not None for name in secrets["auth"]):
            resent.add("auth")
    for part, names in (("headers", "secret_headers"), ("params", "secret_params")):
        if part in given:
            old = kept.get(part, {})
            columns[part], secrets[part] = _parted(part, given[part], old)
            columns[names] = sorted(secrets[part])
            if all(given[part].get(name) is not None for name in secrets[part]):
                resent.add(part)
    _keep_at_home(current, columns.get("url", current.url), secrets, resent)
    filled = {part: values for part, values in secrets.items() if values}
    return columns | {"secrets": orjson.dumps(filled, option=orjson.OPT_SORT_KEYS).decode()}


def _schedule(current: Stream, given: Mapping[str, Any]) -> dict[str, Any]:
    if "interval_seconds" not in given and "cron" not in given:
        return {}
    interval, cron = given.get("interval_seconds"), given.get("cron")
    if interval is not None and cron is not None:
        raise StreamInvalid.at("/cron", "two_schedules", "Send interval_seconds or cron, not both.")
    if "interval_seconds" not in given and cron is None and current.interval_seconds:
        return {}
    if "cron" not in given and interval is None and current.cron:
        return {}
    if cron is None and interval is None:
        interval = DEFAULT_INTERVAL
    return {"interval_seconds": interval, "cron": cron or ""}


def _auth(
    current: Mapping[str, Any], given: Mapping[str, Any], kept: dict[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The open members and the secret one. A secret may be left out where all else stays as it is."""
    secret_name = SECRET_MEMBER.get(given["type"])
    opened = {name: value for name, value in given.items() if name != secret_name}
    if secret_name is None:
        return opened, {}
    if given.get(secret_name) is not None:
        return opened, {secret_name: given[secret_name]}
    if opened == current and secret_name in kept:
        return opened, kept
    raise StreamInvalid.at(
        f"/auth/{secret_name}",
        "required",
        "Send the secret too: the one that is stored is kept only while the rest stays as it is.",
    )


def _parted(
    part: str, given: Mapping[str, str | None], kept: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Open and secret headers or parameters, by their names; null keeps the secret that is stored."""
    opened: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in given.items():
        if value is None and name not in kept:
            detail = "There is no stored value that null could keep."
            raise StreamInvalid.at(f"/{part}/{name}", "required", detail)
        if is_sensitive(name):
            secret[name] = kept[name] if value is None else value
        elif value is not None:
            opened[name] = value
    return opened, secret


def _keep_at_home(current: Stream, url: str, secrets: Secrets, resent: set[str]) -> None:
    """Refuse to send a stored secret to another server than the one that it was given for."""
    if origin(guard.parse(url)) == origin(guard.parse(current.url)):
        return
    for part, values in secrets.items():
        if values and part not in resent:
            raise StreamInvalid.at(
                f"/{part}",
                "secrets_required",
                "The URL leads to another server: send the secrets for it too.",
            )


def _other_keys(before: Stream, now: Stream) -> bool:
    """Whether a record may have another key than before, so that it could not be found again."""
    if before.primary_key != now.primary_key:
        return True
    keys = now.primary_key or []
    keys = keys if isinstance(keys, list) else [keys]
    for fields in (compiled(key).fields for key in keys):
        if fields is None and before.mapping != now.mapping:
            return True  # it may use any field
        if fields and _made_by(before.mapping, fields[0]) != _made_by(now.mapping, fields[0]):
            return True
    return False


def _made_by(mapping: Mapping[str, str] | None, name: str) -> str | None:
    """The expression that makes a field; None where it is as it came."""
    expression = (mapping or {}).get(name)
    return None if expression == name else expression


def _follow(stream: Stream, progress: Progress, altered: set[str]) -> None:
    """Let the progress follow what has changed."""
    outcome: dict[str, Any] = {}
    if altered & {"auth", "secrets"}:
        # And no lease: a token that a worker is just asking for is of the earlier ones.
        outcome |= {"token": None, "token_expires_at": None, "lease_id": None, "lease_until": None}
    if "cursor" in altered:
        progress.cursor_value = outcome["cursor_value"] = None
    run = Run.objects.get(pk=progress.run_id) if progress.run_id else None
    is_remap = run is not None and run.trigger == Trigger.REMAP
    if run is not None and altered & _HOW_IT_IS_READ:
        old = Checkpoint.of(progress) or Checkpoint()
        if is_remap:
            anew = replace(old, at={}, page=0, reading=old.reading + 1)
        else:
            anew = Checkpoint.beginning(stream, progress, run, reading=old.reading + 1)
        outcome["position"] = anew.stored()
    # After a remap it goes on as planned; the end of any other run plans anew.
    has_a_plan = stream.state == State.RUNNING and (run is None or is_remap)
    if has_a_plan and altered & {"interval_seconds", "cron"}:
        now = clock.now()
        planned = next_time(stream, after=now, now=now, paused_at=progress.paused_at)
        outcome |= {"next_run_at": planned} | ({} if is_remap else {"due_at": planned})
    if outcome:
        Progress.objects.filter(pk=stream.pk).update(**outcome)
