"""`make bench` without anybody watching it."""

from bench.__main__ import Case, Needs, Session
from bench.figures import Figure, medians

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


def test_the_ratio_is_that_of_the_medians() -> None:
    rounds = [Figure("a", value, "/s", limit) for value, limit in ((1, 30), (2, 10), (3, 20))]

    (found,) = medians([*rounds, Figure("b", 1, "ms")])[:1]

    assert found == Figure("a", 2, "/s", 20)
    assert found.ratio == 0.1
