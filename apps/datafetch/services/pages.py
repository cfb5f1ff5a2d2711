"""What is kept of an answer: its body, packed, its validators, and where it leads."""

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import orjson
from isal import isal_zlib

from apps.common.outgoing.pooled import Answer
from apps.datafetch.limits import READERS
from apps.datafetch.services.storing import Fetched, Known
from apps.datafetch.sources.pagination import Position
from apps.datafetch.sources.source import Asked

_GZIP = 16 + zlib.MAX_WBITS
_packers = ThreadPoolExecutor(READERS, "packing")


def packed(answer: Answer) -> Callable[[], bytes]:
    """Waits for the body in gzip's format, into which another thread brings it while this one reads it."""
    if answer.packed is not None:
        return partial(bytes, answer.packed)
    return _packers.submit(isal_zlib.compress, answer.body, 1, _GZIP).result


def unchanged(asked: Asked, known: Known, requests: int, received: int) -> Fetched:
    """A page that is as it was."""
    return Fetched(
        asked=asked,
        after=position_after(known),
        greatest=known.cursor_value,
        count=known.record_count,
        requests=requests,
        received=received,
        rejected=known.rejected_count,
        unchanged=known,
        digest=bytes(known.digest),
    )


def position_after(known: Known) -> Position | None:
    """Where the page led; None after the last."""
    return cast(Position | None, orjson.loads(known.next or "null"))


def validator(value: str | None) -> str:
    """A validator to send back as it came, unless it is absurdly long or no header value."""
    fits = value and len(value) <= 1000 and value.isascii() and value.isprintable()
    return value if value and fits else ""
