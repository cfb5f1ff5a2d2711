"""From a page's JSON to records as they are stored: key, hash, data."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple, Self

import orjson

from apps.datafetch.limits import (
    MAX_KEY_LENGTH,
    MAX_MAPPED_BYTES,
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    MAX_REJECTED_KEPT,
)
from apps.datafetch.sources import cursors, forms
from apps.datafetch.sources.expressions import ExpressionFailed, Steps
from apps.datafetch.sources.failures import SourceFailed
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.source import Source

MAX_REJECTED_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Records:
    """Records to store, by columns: keys, of which no two are the same, digests of the data, and the data, JSON
    with sorted keys. Thousands of small objects fewer than one for each."""

    keys: Sequence[str] = ()
    hashes: Sequence[bytes] = ()
    datas: Sequence[bytes] = ()

    @classmethod
    def of(cls, contents: Mapping[str, tuple[bytes, bytes]]) -> Self:
        """Of digests and data by key."""
        return cls(list(contents), *map(list, zip(*contents.values(), strict=True)))

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        return zip(self.keys, self.hashes, self.datas, strict=True)


class Refused(NamedTuple):
    """A record that cannot be stored."""

    code: str
    detail: str
    data: bytes


@dataclass(slots=True)
class Shape:
    """What is on a page. Of several records with one key the last counts; `count` counts them all.

    `refused` has the first of those that cannot be stored, `refusals` counts them all by their codes.
    `form` is that of the records, `strangers` what of the others did not fit.
    """

    count: int
    records: Records = field(default_factory=Records)
    refused: list[Refused] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    greatest: Any = None
    form: Form = field(default_factory=dict)
    strangers: Form = field(default_factory=dict)

    def refuse(self, code: str, detail: str, raw: Any) -> None:
        self.refusals[code] += 1
        if len(self.refused) < MAX_REJECTED_KEPT:
            self.refused.append(Refused(code, detail, _excerpt(raw)))


class _Unfit(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def shape(source: Source, document: Any, steps: Steps, bound_to: Form | None = None) -> Shape:
    """The records on a page, those refused that have not the form that they are `bound_to`; raises
    SourceFailed when there is no list of records where one should be."""
    return shape_records(source, records_of(source, document, steps), steps, bound_to)


def shape_records(
    source: Source, found: list[Any], steps: Steps, bound_to: Form | None = None
) -> Shape:
    """The same of records as they came."""
    if bound_to is None and (page := _shape_at_once(source, found)) is not None:
        return page
    page, observed = Shape(count=len(found)), forms.Observed()
    contents: dict[str, tuple[bytes, bytes]] = {}
    for raw in found:
        try:
            data = _data(source, raw, steps)
            key, content = _shaped(source, raw, data, steps)
            reached = source.cursor_field(raw, steps) if source.cursor_field else None
            if bound_to is not None:
                _require_form(bound_to, data, page.strangers)
        except ExpressionFailed as error:
            page.refuse("expression_failed", str(error)[:500], raw)
        except _Unfit as unfit:
            page.refuse(unfit.code, unfit.detail, raw)
        else:
            contents[key] = content
            observed.add(data)
            if reached is not None:
                page.greatest = cursors.greater(page.greatest, reached)
    page.records, page.form = Records.of(contents), observed.form
    return page


def _shape_at_once(source: Source, found: list[Any]) -> Shape | None:
    """The same of the plainest records, which are stored as they came under a key of one field: each step for
    all of them, in half the time (docs/adr/0039). None when one of them must be looked at by itself."""
    if source.key_field is None or source.fields is not None or source.cursor_field is not None:
        return None
    try:
        raw_keys = list(map(itemgetter(source.key_field), found))
        datas = list(map(orjson.dumps, found, repeat(None), repeat(orjson.OPT_SORT_KEYS)))
    except (LookupError, TypeError):  # orjson's error is one
        return None
    keys = _plain_keys(raw_keys)
    if (
        keys is None
        or len(set(keys)) < len(keys)
        or max(map(len, datas), default=0) > MAX_RECORD_BYTES
    ):
        return None
    hashes = [hashlib.sha256(data).digest()[:16] for data in datas]
    return Shape(len(found), Records(keys, hashes, datas), form=forms.form_of(found))


def _plain_keys(raw: list[Any]) -> list[str] | None:
    """Keys as texts when all are integers, or all texts that will do."""
    kinds = set(map(type, raw))
    if kinds == {int}:
        return list(map(str, raw))
    if kinds != {str} or not all(raw) or "\0" in "".join(raw):
        return None
    return raw if max(map(len, raw)) <= MAX_KEY_LENGTH else None


def records_of(source: Source, document: Any, steps: Steps) -> list[Any]:
    """The records of a page as they came; raises SourceFailed where no list of them is."""
    try:
        found = source.records(document, steps)
    except ExpressionFailed as error:
        raise SourceFailed("records_not_found", str(error)) from error
    if found is None and source.records.is_missing(document):
        detail = f"There is nothing at records_path {source.records_path!r}."
        raise SourceFailed("records_not_found", detail)
    if found is None:
        return []
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise SourceFailed("records_not_found", "What is at records_path is not a list.")
    if len(found) > MAX_RECORDS:
        raise SourceFailed("too_many_records", f"A page has at most {MAX_RECORDS:,} records.")
    return found


def _data(source: Source, raw: Any, steps: Steps) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _Unfit("not_an_object", "A record is a JSON object.")
    return raw if source.fields is None else _mapped(source, raw, steps)


def _require_form(known: Form, data: dict[str, Any], strangers: Form) -> None:
    strange = forms.strange(known, data)
    if strange:
        strangers.update(forms.merged(strangers, strange))
        names = ", ".join(sorted(strange))[:300]
        raise _Unfit("schema_mismatch", f"New to the schema, or of a new type: {names}")


def _shaped(
    source: Source, raw: Any, data: dict[str, Any], steps: Steps
) -> tuple[str, tuple[bytes, bytes]]:
    # Most records have an integer for their key, in a field of their own: nothing else is to be looked for.
    plain = raw.get(source.key_field)
    key = str(plain) if type(plain) is int else _key(source, raw, data, steps)
    dumped = _dumped(data)
    if len(dumped) > MAX_RECORD_BYTES:
        raise _Unfit("too_large", f"A record has at most {MAX_RECORD_BYTES:,} bytes as JSON.")
    digest = hashlib.sha256(dumped).digest()[:16]
    return digest.hex() if key is None else key, (digest, dumped)


def _mapped(source: Source, raw: Any, steps: Steps) -> dict[str, Any]:
    """Each field may be the whole record again: how large all of them could be is looked at first."""
    if source.growth > 1 and source.growth * len(_dumped(raw)) > MAX_MAPPED_BYTES:
        raise _Unfit(
            "too_large", "The record is too large for a mapping that may repeat it so often."
        )
    return {name: expression(raw, steps) for name, expression in source.fields or ()}


def _key(source: Source, raw: Any, data: Any, steps: Steps) -> str | None:
    """The record's key as text, looked for as it came and then as it was mapped; None without a
    primary key."""
    if not source.keys:
        return None
    parts = []
    for expression in source.keys:
        part = expression(raw, steps)
        if part is None and data is not raw:
            part = expression(data, steps)
        if part is None or part == "" or isinstance(part, dict | list):
            raise _Unfit("no_key", f"There is no value at primary_key {expression.text!r}.")
        parts.append(part)
    single = parts[0] if len(parts) == 1 else parts
    key = single if isinstance(single, str) else _dumped(single).decode()
    if len(key) > MAX_KEY_LENGTH or "\0" in key:
        raise _Unfit("key_invalid", f"A key has at most {MAX_KEY_LENGTH} characters and no NUL.")
    return key


def _dumped(data: Any) -> bytes:
    try:
        return orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise _Unfit("unserialisable", f"The record cannot be written as JSON: {error}") from error


def _excerpt(raw: Any) -> bytes:
    try:
        return orjson.dumps(raw)[:MAX_REJECTED_BYTES]
    except orjson.JSONEncodeError:
        return b"null"
