"""What records look like: their fields, and of which JSON types the values have been.

Null says nothing of a field. What is kept is bounded: a record whose members are ids rather than names
would have a new form every day.
"""

from collections import defaultdict
from operator import itemgetter
from types import NoneType
from typing import Any

MAX_FIELDS = 500
MAX_NAME = 200

Form = dict[str, set[str]]

_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    dict: "object",
    list: "array",
}
_BIGINT = 2**63


class Observed:
    """The form of many records: one that looks like another before it costs no more than that look."""

    def __init__(self) -> None:
        self.form: Form = {}
        self._seen: dict[tuple[Any, ...], list[str]] = {}  # how one looks → its integers

    def add(self, data: dict[str, Any]) -> None:
        look = (*data, *map(type, data.values()))
        integers = self._seen.get(look)
        if integers is not None:
            for name in integers:
                if not -_BIGINT <= data[name] < _BIGINT:
                    break
            else:
                return
        elif len(self._seen) < MAX_FIELDS:
            self._seen[look] = [name for name, value in data.items() if type(value) is int]
        observe(self.form, data)


def form_of(records: list[dict[str, Any]]) -> Form:
    """The form of many records at once: by their columns, or, when they have other fields each, of those that look
    alike one is enough, but for large integers."""
    if (form := _form_of_columns(records)) is not None:
        return form
    alike: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for data in records:
        alike[*data, *map(type, data.values())].append(data)
    form = {}
    for group in alike.values():
        integers = [name for name, value in group[0].items() if type(value) is int]
        columns = (list(map(itemgetter(name), group)) for name in integers)
        for data in group[:1] if all(map(_are_plain, columns)) else group:
            observe(form, data)
    return form


def _form_of_columns(records: list[dict[str, Any]]) -> Form | None:
    """The same of records that all have the same fields; None when they have not."""
    names = list(records[0]) if records else []
    if len(names) > MAX_FIELDS or set(map(len, records)) - {len(names)}:
        return None
    form: Form = {}
    for name in names:
        try:
            column = list(map(itemgetter(name), records))
        except KeyError:
            return None
        types = set(map(type, column)) - {NoneType}
        if types and len(name) <= MAX_NAME and "\0" not in name:
            integers = [value for value in column if type(value) is int] if int in types else []
            kinds = {"integer"} if integers and _are_plain(integers) else set(map(_type, integers))
            form[name] = kinds | {_TYPES[kind] for kind in types - {int}}
    return form


def _are_plain(integers: list[int]) -> bool:
    return min(integers) >= -_BIGINT and max(integers) < _BIGINT


def observe(form: Form, data: dict[str, Any]) -> None:
    """Widen `form` by one record."""
    for name, value in data.items():
        if value is None:
            continue
        kinds = form.get(name)
        if kinds is None:
            if len(form) >= MAX_FIELDS or len(name) > MAX_NAME or "\0" in name:
                continue
            kinds = form[name] = set()
        kinds.add(_type(value))


def strange(known: Form, data: dict[str, Any]) -> Form:
    """What of a record `known` does not have: new fields, and values of new types."""
    found: Form = {}
    observe(found, data)
    return {name: kinds for name, kinds in found.items() if not _fits(known, name, kinds)}


def merged(known: Form, more: Form) -> Form:
    """Both in one; a field that has numbers has integers too."""
    names = [*known, *(name for name in more if name not in known)][:MAX_FIELDS]
    return {name: _plain(known.get(name, set()) | more.get(name, set())) for name in names}


def as_schema(form: Form) -> dict[str, Any]:
    """As JSON Schema."""
    properties = {name: {"type": sorted(kinds)} for name, kinds in form.items()}
    return {"type": "object", "properties": properties}


def of_schema(schema: dict[str, Any]) -> Form:
    """What `as_schema` has written."""
    return {name: set(each["type"]) for name, each in schema["properties"].items()}


def _type(value: Any) -> str:
    if type(value) is int and not -_BIGINT <= value < _BIGINT:
        return "number"
    return _TYPES[type(value)]


def _plain(kinds: set[str]) -> set[str]:
    return kinds - {"integer"} if "number" in kinds else kinds


def _fits(known: Form, name: str, kinds: set[str]) -> bool:
    if name not in known:
        return len(known) >= MAX_FIELDS  # nothing is known of the rest
    return kinds <= known[name] or (kinds == {"integer"} and "number" in known[name])
