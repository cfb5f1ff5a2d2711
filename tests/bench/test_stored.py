"""What got slower than in earlier rounds."""

import json
from pathlib import Path

import pytest

from bench import stored
from bench.figures import Figure

RATE = Figure("orders", 100, "/s", 1000)
COST = Figure("an order", 5, "CPU ms")
P99 = Figure("webhook, p99", 30, "ms", 10)


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> pytest.CaptureFixture[str]:
    """What is printed, with a file of its own to store in."""
    monkeypatch.setattr(stored, "STORED", tmp_path / "stored.json")
    return capsys


def compare(*figures: Figure) -> None:
    stored.compare({"case": figures}, keep=True)


@pytest.mark.parametrize(
    ("before", "worse", "same"),
    [
        (RATE, 80, 85),  # more is better
        (COST, 6.1, 5.9),  # less is better
        (P99, 43, 41),  # twice the noise
    ],
    ids=["rate", "cost", "p99"],
)
def test_worse_than_noise_is_slower(
    said: pytest.CaptureFixture[str], before: Figure, worse: float, same: float
) -> None:
    compare(before)
    assert "Nothing got slower." in said.readouterr().out

    compare(before._replace(value=worse))
    assert before.case in said.readouterr().out

    compare(before._replace(value=same))
    assert "Nothing got slower." in said.readouterr().out


def test_what_is_slower_is_named_again_until_it_is_mended(said: pytest.CaptureFixture[str]) -> None:
    compare(COST)
    for _ in range(3):
        said.readouterr()
        compare(COST._replace(value=9))
        assert "an order: 9.00, was 5.00" in said.readouterr().out


def test_noise_that_was_seen_is_noise(said: pytest.CaptureFixture[str]) -> None:
    for value in (5, 5.9, 6.9):
        compare(COST._replace(value=value))

    assert "Slower" not in said.readouterr().out
    assert json.loads(stored.STORED.read_text()) == {"an order": [5.0, 5.9, 6.9]}


def test_times_without_a_limit_are_not_compared(said: pytest.CaptureFixture[str]) -> None:
    for value in (1, 100):
        compare(Figure("ready", value, "s"))

    assert "Slower" not in said.readouterr().out
