"""The headers of JSON answers are Django's, whatever is in them."""

import pytest
from django.http import HttpResponse
from django.http.response import BadHeaderError

from apps.common.api.responses import Json


@pytest.mark.parametrize(
    "value", ["plain", "", 17, b"bytes", "kurz und blöd", "日本", "tab\tin it"]
)
def test_a_header_becomes_what_django_makes_of_it(value: object) -> None:
    ours, theirs = Json({}), HttpResponse("{}", content_type="application/json")
    for response in (ours, theirs):
        response["X-One"] = value  # type: ignore[assignment]  # Django takes more than it says
        response.setdefault("X-ONE", "another")

    assert list(ours.items()) == list(theirs.items())
    assert ("x-one" in ours.headers, "x-two" in ours.headers) == (True, False)


@pytest.mark.parametrize(("name", "value"), [("X-One", "a\r\nX-Two: b"), ("X-One\n", "a")])
def test_a_header_has_no_second_line(name: str, value: str) -> None:
    with pytest.raises(BadHeaderError):
        Json({})[name] = value
