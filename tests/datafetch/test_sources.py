"""Expressions of strangers, cursors, redaction: rules rather than examples."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.datafetch.sources import cursors
from apps.datafetch.sources.expressions import (
    MAX_LENGTH,
    ExpressionFailed,
    ExpressionInvalid,
    Steps,
    compiled,
)
from apps.datafetch.sources.failures import redacted

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=20,
)


@given(value=json, path=st.lists(st.sampled_from("abc"), min_size=1, max_size=4))
def test_the_quick_way_finds_what_jmespath_does(value: Any, path: list[str]) -> None:
    quick = compiled(".".join(path))
    slow = compiled(" | ".join(["@", *path]))
    assert quick.fields is not None
    assert slow.fields is None

    assert quick(value, Steps()) == slow(value, Steps())


@given(text=st.text(alphabet="@[]()*.|&`'\"{}:,?!<>=ab1-", max_size=60), value=json)
def test_whatever_is_sent_as_an_expression_is_refused_or_evaluated(text: str, value: Any) -> None:
    try:
        expression = compiled(text)
    except ExpressionInvalid:
        return
    try:
        expression(value, Steps())
    except ExpressionFailed:
        return


@pytest.mark.parametrize(
    "text",
    [
        "|".join(["[@,@][]"] * 20),
        ".".join(["[@,@]"] * 20),
        "[*].[@,@] | [*].[@,@] | " * 9 + "@",
        "{a: {a: {a: [@,@,@,@,@], b: [@,@,@,@,@]}}} | [@,@,@,@,@] | [@,@,@,@,@]",
        "(" * (MAX_LENGTH // 2) + ")" * (MAX_LENGTH // 2),
        "[" * MAX_LENGTH,
        "a" * (MAX_LENGTH + 1),
    ],
)
def test_expressions_that_could_grow_without_end_are_refused(text: str) -> None:
    with pytest.raises(ExpressionInvalid):
        compiled(text)


def test_expressions_that_take_long_are_cut_off() -> None:
    rows = [{"n": n} for n in range(2000)]
    steps = Steps(3_000)

    with pytest.raises(ExpressionFailed, match="steps"):
        compiled("map(&n, @) | [?contains([`1`], @)]")(rows, steps)


def test_join_does_not_multiply() -> None:
    with pytest.raises(ExpressionFailed, match="too long"):
        compiled("join(glue, parts)")({"glue": "x" * 10_000, "parts": ["y"] * 10_000}, Steps())


moments = st.integers(631_152_000, 4_102_444_800).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


@given(
    moment=moments,
    seconds=st.integers(0, 10**7),
    spec=st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    suffix=st.sampled_from(["Z", "+00:00", ""]),
)
def test_looking_back_keeps_the_way_it_is_written(
    moment: datetime, seconds: int, spec: str, suffix: str
) -> None:
    def written(one: datetime) -> str:
        return one.isoformat(timespec=spec).removesuffix("+00:00") + suffix

    expected = written(moment - timedelta(seconds=seconds))

    assert cursors.looking_back(written(moment), seconds) == expected


@given(values=st.lists(moments, min_size=1))
def test_the_greatest_of_times_is_the_latest(values: list[datetime]) -> None:
    greatest: Any = None
    for value in values:
        greatest = cursors.greater(greatest, value.isoformat())

    assert datetime.fromisoformat(greatest) == max(values)


@given(one=json, other=json)
def test_any_two_values_can_be_compared(one: Any, other: Any) -> None:
    cursors.looking_back(cursors.greater(one, other), 60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://x/?api_key=abcd&page=2", "at http://x/?api_key=***&page=2"),
        ("http://x/?a=1&X-Amz-Signature=ff#x", "http://x/?a=1&X-Amz-Signature=***#x"),
        ("token hunter2 refused", "token *** refused"),
        ("?x=a%20b%2B%26", "?x=***"),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, shown: str) -> None:
    assert redacted(text, ["hunter2", "a b+&"]) == shown


def test_long_texts_are_redacted_in_no_time() -> None:
    started = time.process_time()

    redacted("&" * 100_000 + "?a=" * 10_000, ["secret"])

    assert time.process_time() - started < 10
