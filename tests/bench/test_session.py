"""`make bench` without anybody watching it."""

from bench.__main__ import Case, Needs, Session
from bench.figures import Figure, medians
from bench.report import tables

GOOD = Case("figures", Needs.NOTHING, "", "")  # a module that does nothing when it is run
BAD = Case("no_such_module", Needs.NOTHING, "", "")


def test_a_case_that_fails_keeps_no_other_from_running_and_is_left_out() -> None:
    session = Session(is_short=True)

    session.one_round([BAD, GOOD])

    assert session.failed == ["no_such_module"]
    assert list(session.figures()) == ["figures"]


def test_a_case_that_failed_is_not_run_again() -> None:
    session = Session(is_short=True)

    session.one_round([BAD])
    session.one_round([BAD])

    assert session.failed == ["no_such_module"]


def test_a_ratio_is_of_one_minute_and_the_median_of_all_rounds() -> None:
    """Not that of the medians, which may be of different rounds."""
    rounds = [Figure("a", value, "/s", limit) for value, limit in ((1, 30), (2, 10), (3, 20))]

    found, other = medians([*rounds, Figure("b", 1, "ms")])

    assert (found.value, found.limit, found.ratio) == (2, 20, 0.15)
    assert (other.limit, other.ratio) == (None, None)
    assert list(tables({"case": [found, other]}))[-2:] == [
        "| a | 2.00 /s | 20.0 | 0.15 (0.03 to 0.20) |",
        "| b | 1.00 ms | | |",
    ]
