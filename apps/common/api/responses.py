"""What a view answers with: JSON, rendered once."""

from typing import Any

import orjson
from django.http import HttpResponse


class Json(HttpResponse):
    """A JSON answer; `data` is kept for whoever must store or alter it before it is sent."""

    def __init__(self, data: Any, *, status: int = 200, headers: dict[str, str] | None = None):
        super().__init__(
            orjson.dumps(data), status=status, headers=headers, content_type="application/json"
        )
        self.data = data


class NoContent(HttpResponse):
    """204."""

    def __init__(self) -> None:
        super().__init__(status=204)
        del self["Content-Type"]
