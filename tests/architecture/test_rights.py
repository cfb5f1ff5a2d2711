"""Every call needs a key, and the scope that its room and method ask for."""

import pytest
from django.test import Client

from apps.accounts.enums import ROOMS, SCOPES
from tests.architecture.operations import Operation, operations
from tests.conftest import MakeClient
from tests.support.problems import assert_problem

# Any valid key may make these calls.
OPEN = {"me"}

each_operation = pytest.mark.parametrize("operation", operations(), ids=str)


def scope_of(operation: Operation) -> str | None:
    return operation.view().required_scope(operation.method)


@each_operation
def test_without_a_key_nothing_is_answered(operation: Operation) -> None:
    answer = Client().generic(operation.method, operation.url(), content_type="application/json")

    assert_problem(answer, 401, "not_authenticated")


@each_operation
def test_every_call_has_a_scope(operation: Operation) -> None:
    scope = scope_of(operation)

    if operation.spec["operationId"] in OPEN:
        assert scope is None
    else:
        assert scope in SCOPES
        is_read = operation.method == "GET"
        assert scope.endswith(":read" if is_read else ":write")


def test_without_the_scope_nothing_is_answered(api: MakeClient) -> None:
    clients = {}
    for room in ROOMS:
        others = [f"{other}:write" for other in ROOMS if other != room]
        clients[f"{room}:read"] = api(*others)
        clients[f"{room}:write"] = api(*others, f"{room}:read")

    for operation in operations():
        scope = scope_of(operation)
        if scope is not None:
            answer = clients[scope].request(operation.method, operation.url(), operation.body())
            assert_problem(answer, 403, "missing_scope")


def test_with_the_scope_alone_the_call_is_let_in(api: MakeClient) -> None:
    clients = {scope: api(scope) for scope in SCOPES}

    for operation in operations():
        scope = scope_of(operation)
        if scope is not None:
            answer = clients[scope].request(operation.method, operation.url(), operation.body())
            assert answer.status_code not in (401, 403), str(operation)
