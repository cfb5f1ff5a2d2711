"""Counting a key's calls, and learning in the same call whether the key changed meanwhile.

The budget is a token bucket kept as one timestamp (GCRA, the generic cell rate algorithm of ATM
forum's traffic management): `limit` tokens, refilled evenly over a minute. The epoch of a key changes
when it is revoked or altered; what a process remembers of a key is only believed under the same epoch.
"""

from dataclasses import dataclass
from hashlib import sha1
from typing import Any
from uuid import UUID

from redis.exceptions import NoScriptError

from apps.common import besteffort
from apps.common.api.throttling import WINDOW_SECONDS, RateLimitState
from apps.common.ids import uuid7

EPOCH_SECONDS = 3600

_SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local interval = window / limit
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local free_at = tat + interval - window
local epoch = redis.call('GET', KEYS[2])
if free_at > now then
  return {0, 0, tostring(free_at - now), epoch}
end
tat = tat + interval
redis.call('SET', KEYS[1], string.format('%.6f', tat), 'PX', math.ceil((tat - now) * 1000))
return {1, math.floor((window - (tat - now)) / interval + 0.000001), tostring(tat - now), epoch}
"""
_SHA = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # what Redis knows it by


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer of Redis: the budget, and the key's epoch (None: ask PostgreSQL)."""

    state: RateLimitState
    epoch: bytes | None


def count(key_id: UUID, limit: int) -> Counted | None:
    """Count one call of the key; None when Redis cannot say: then the call is let through."""
    answer = besteffort.attempt(
        "throttle",
        lambda: _run(2, f"throttle:{key_id}", _epoch_name(key_id), limit, WINDOW_SECONDS),
    )
    if answer is None:
        return None
    allowed, remaining, reset, epoch = answer
    state = RateLimitState(
        limit=limit, allowed=bool(allowed), remaining=int(remaining), reset_seconds=float(reset)
    )
    return Counted(state=state, epoch=epoch)


def start_epoch(key_id: UUID) -> bytes | None:
    """The key's epoch, made when there is none; None when Redis cannot say."""

    def ask() -> bytes:
        name, fresh = _epoch_name(key_id), str(uuid7()).encode()
        found = besteffort.client().set(name, fresh, nx=True, get=True, ex=EPOCH_SECONDS)
        return found if isinstance(found, bytes) else fresh

    return besteffort.attempt("throttle", ask)


def end_epoch(key_id: UUID) -> None:
    """After a key has changed: what processes remember of it is void."""
    besteffort.attempt("throttle", lambda: besteffort.client().delete(_epoch_name(key_id)))


def _run(*arguments: Any) -> Any:
    try:
        return besteffort.ask("EVALSHA", _SHA, *arguments)
    except NoScriptError:  # Redis has been restarted; it keeps the script from here on
        return besteffort.ask("EVAL", _SCRIPT, *arguments)


def _epoch_name(key_id: UUID) -> str:
    return f"key-epoch:{key_id}"
