"""Answers of any size: lines that are made while they are sent, in constant memory."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from django.db import close_old_connections
from rest_framework.renderers import BaseRenderer

from apps.common.errors import Unavailable
from apps.common.places import NoPlaceLeftError, Places

# A stream keeps a thread of the web process for as long as its reader takes: never all of them.
MAX_STREAMS = 4
MAX_STREAMS_OF_ACCOUNT = 2

# What makes a spreadsheet take a cell for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class TooManyExports(Unavailable):
    """A process has no thread to spare for another stream."""

    code = "too_many_exports"
    title = "Too many exports are running"


class Ndjson(BaseRenderer):
    """Lets `Accept` choose it; the view makes the lines itself."""

    media_type = "application/x-ndjson"
    format = "ndjson"


class Csv(BaseRenderer):
    """The same."""

    media_type = "text/csv"
    format = "csv"


class Streams:
    """How many streams of each account this process is sending."""

    def __init__(self) -> None:
        self._places = Places(MAX_STREAMS, MAX_STREAMS_OF_ACCOUNT)

    def require_room(self, account_id: UUID) -> None:
        """Raise TooManyExports when this account, or all together, have as many as they may: `send` would."""
        if not self._places.are_left(account_id):
            raise _too_many()

    def send(self, account_id: UUID, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """`chunks`, counted from now on until the last is taken or the client goes away; raises TooManyExports."""
        sending = self._sending(account_id, chunks)
        try:
            next(sending)  # begun, so that it gives its place back even if nobody takes a chunk
        except NoPlaceLeftError as error:
            raise _too_many() from error
        return sending

    def _sending(self, account_id: UUID, chunks: Iterator[bytes]) -> Iterator[bytes]:
        with self._places.taken(account_id):
            yield b""
            for chunk in chunks:
                close_old_connections()  # back to the pool, while the client takes its time
                yield chunk


def _too_many() -> TooManyExports:
    return TooManyExports("Wait until another export has ended.", retry_after=10)


streams = Streams()


def csv_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    """RFC 4180. Text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    csv.writer(text).writerows(map(_harmless, row) for row in rows)
    return text.getvalue().encode()


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
