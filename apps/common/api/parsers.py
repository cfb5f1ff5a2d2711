"""JSON in: strict about size, encoding and numbers, so that nothing odd reaches a view."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

# Deeper than any body of ours, and far from where a recursion over one would fail.
MAX_DEPTH = 64


class StrictJSONParser(BaseParser):
    """Refuses bodies over 1 MiB, NaN, lone surrogates, invalid UTF-8, NULs and deep nesting.

    Not DRF's JSONParser, for which a body is read and kept whole before it is parsed.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(raw) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            data = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is not JSON: {error}.", code="malformed_json") from None
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_deep(data):
            raise ParseError(f"Nest {MAX_DEPTH} levels at the most.", code="too_deep")
        # PostgreSQL stores no NUL in text or jsonb; the escape is rare enough to look twice.
        if b"\\u0000" in raw and _has_nul(data):
            raise ParseError("Text may not contain the NUL character.", code="nul_character")
        return data


def _is_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for node in level for inner in _children(node)]
    return bool(level)


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _has_nul(node: Any) -> bool:
    if isinstance(node, str):
        return "\0" in node
    if isinstance(node, dict):
        return any(_has_nul(key) or _has_nul(value) for key, value in node.items())
    return isinstance(node, list) and any(map(_has_nul, node))
