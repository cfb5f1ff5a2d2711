"""What a view answers with: JSON, rendered once."""

from typing import Any

import orjson
from django.http import HttpResponse
from django.http.response import ResponseHeaders


class _Headers(ResponseHeaders):
    """As Django's, with short ways for plain text: a dozen are set and read for each answer."""

    @classmethod
    def of(cls, headers: ResponseHeaders) -> "_Headers":
        """The same, from here on by the short ways."""
        taken = cls({})
        taken._store = headers._store
        return taken

    def __setitem__(self, key: str, value: Any) -> None:
        if type(value) is str and (both := key + value).isascii() and both.isprintable():
            self._store[key.lower()] = (key, value)
        else:
            super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        return str(key).lower() in self._store

    def items(self) -> Any:
        return self._store.values()


class Json(HttpResponse):
    """A JSON answer; `data` is kept for whoever must store or alter it before it is sent."""

    def __init__(self, data: Any, *, status: int = 200, headers: dict[str, str] | None = None):
        super().__init__(
            orjson.dumps(data), status=status, headers=headers, content_type="application/json"
        )
        self.headers = _Headers.of(self.headers)
        self.data = data


class NoContent(HttpResponse):
    """204."""

    def __init__(self) -> None:
        super().__init__(status=204)
        del self["Content-Type"]
