"""Expressions of strangers, cursors, redaction: rules rather than examples."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.datafetch.limits import MAX_REJECTED_KEPT
from apps.datafetch.sources import cursors, forms, pagination
from apps.datafetch.sources.expressions import (
    MAX_LENGTH,
    ExpressionFailed,
    ExpressionInvalid,
    Steps,
    compiled,
)
from apps.datafetch.sources.failures import redacted
from apps.datafetch.sources.shaping import shape
from apps.datafetch.sources.source import Source

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


def test_a_link_header_is_read_in_one_go() -> None:
    """However often a target begins; looked through again for each, this would take minutes."""
    links = ["<" * 60_000] * 4 + ['<http://x.example/2>; rel="next"']
    after = pagination.next_position(
        {"type": "link_header"},
        {},
        url="http://x.example/",
        links=links,
        document=[],
        count=0,
        steps=Steps(),
    )

    assert after == {"url": "http://x.example/2"}


def test_quotes_in_quotes_do_not_double_without_end() -> None:
    expression = compiled("to_string([" * 30 + "@" + "])" * 30)

    with pytest.raises(ExpressionFailed, match="too long"):
        expression('"', Steps())
    assert compiled("to_string(@)")({"a": ["é", 1, None]}, Steps()) == '{"a":["\\u00e9",1,null]}'


def test_a_list_does_not_grow_without_end() -> None:
    with pytest.raises(ExpressionFailed, match="too long a list"):
        compiled("[" + ",".join("@" * 90) + "][]")([1] * 30_000, Steps())


def test_an_expression_may_not_be_nested_deeper_than_can_be_evaluated() -> None:
    try:
        compiled("!" * 400 + "@")(1, Steps())
    except (ExpressionInvalid, ExpressionFailed):
        return


@pytest.mark.parametrize("text", ["sum(@)", "@ == @", "[::2]", "[]", "map(&@, @)"])
def test_what_looks_at_all_of_a_list_is_cut_off_by_time(text: str) -> None:
    with pytest.raises(ExpressionFailed, match="too long"):
        compiled(text)([1, 2, 3], Steps(seconds=0))


@pytest.mark.parametrize("text", ['`"\\ud800"`', '"\\udfff"', '{a: `["\\ud800"]`}'])
def test_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(ExpressionInvalid, match="surrogate"):
        compiled(text)


def source(**config: Any) -> Source:
    given: dict[str, Any] = {
        "url": "http://x.example/",
        "records_path": "",
        "primary_key": ("id",),
        "cursor": None,
        "pagination": {"type": "none"},
        "auth": {"type": "none"},
        "headers": {},
        "params": {},
        "secrets": {},
        "mapping": None,
    }
    return Source(**given | config)


def test_of_many_refused_records_the_first_are_kept_and_all_counted() -> None:
    page = shape(source(), [1] * 5000, Steps())

    assert (len(page.refused), page.refusals) == (MAX_REJECTED_KEPT, {"not_an_object": 5000})


def test_a_mapping_does_not_make_much_of_a_large_record() -> None:
    mapping = {f"f{number}": "[" + ",".join("@" * 50) + "]" for number in range(200)}

    page = shape(source(mapping=mapping), [{"id": 1, "text": "x" * 100_000}], Steps())

    assert [one.code for one in page.refused] == ["too_large"]


@pytest.mark.parametrize(
    "record", [{"a": [2**63, 2**63], "id": 1}, {"a": [1e308, 1e308], "id": 1}, {"a": [1], "id": 2}]
)
def test_sums_may_be_anything(record: dict[str, Any]) -> None:
    """As a key, or a cursor: what JSON could not hold is refused or left out."""
    keyed = source(primary_key=("sum(a)", "id"), cursor={"field": "sum(a)", "param": "since"})

    page = shape(keyed, [record], Steps())

    orjson.dumps([*page.records.keys, page.greatest])
    assert len(page.records) + len(page.refused) == 1
    assert page.greatest in (None, 1)


@pytest.mark.parametrize(
    "found",
    [
        [],
        [{"id": n, "name": f"é{n}", "b": None, "a": [1]} for n in range(3)],
        [{"id": "x", "n": 1}, {"id": "y", "n": 1.5}, {"n": None, "id": "z", "more": {}}],
        [{"id": 1, "n": 2**63}, {"id": 2, "n": 1}],
        [{"id": 1, "n": 1}, {"id": 2, "n": 2**64 - 1}],
        [{"id": 1, "n": 1}, {"id": 2, "n": 1}, {"id": 1, "n": 2}],
        [{"id": 1}, {"id": "1"}, {"id": True}, {"id": 1.5}],
        [{"id": 1}, {"other": 1}, [], "id", None],
        [{"id": ""}, {"id": "a\0"}, {"id": "a" * 501}, {"id": "a" * 500}],
        [{"id": 1, "text": "x" * 1_100_000}, {"id": 2}],
    ],
)
def test_records_shaped_at_once_are_as_if_shaped_one_by_one(found: list[Any]) -> None:
    one_by_one = source(cursor={"field": "nowhere", "param": "since"})

    pages = [shape(each, found, Steps()) for each in (source(), one_by_one)]

    for page in pages:
        page.form = forms.merged({}, page.form)  # numbers have integers among them
    assert pages[0] == pages[1]
