"""What every error answer must be like."""

from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator

from apps.common.api.problems import PROBLEM
from apps.common.schemas import resolved

if TYPE_CHECKING:
    from tests.support.api import Response

_schema = Draft202012Validator(resolved(PROBLEM))


def assert_problem(answer: "Response", status: int, code: str = "") -> None:
    """`answer` is a problem of this status (and code), complete, with the id of its request."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    _schema.validate(problem)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert problem["type"] == f"/api/problems#{problem['code']}"
    assert problem["title"]
    assert problem["detail"]
    if code:
        assert problem["code"] == code
