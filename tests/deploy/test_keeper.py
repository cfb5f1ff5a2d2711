"""A program that crashes is started again, later each time."""

import io
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import keeper as keeper_module
from deploy.local.child import Child, Program
from deploy.local.console import Console
from deploy.local.errors import LocalError
from deploy.local.keeper import Keeper
from deploy.local.relay import Relay
from tests.support import wait_until
from tests.support.installation import is_alive

NAME = "crasher"


class Keep:
    """Keeps Python programs, and remembers what was printed about them."""

    def __init__(self) -> None:
        self.output = io.StringIO()
        self.relay = Relay()
        self.console = Console([NAME], self.output)
        self.keepers: list[Keeper] = []

    def __call__(self, code: str, *troubles: Exception) -> Keeper:
        """`troubles` are met one after the other when it is to be started again."""
        waiting = list(troubles)

        def start() -> Child:
            if waiting and self.keepers:
                raise waiting.pop(0)
            program = Program(NAME, (sys.executable, "-c", code), os.environ)
            return Child(program, self.relay, self.console.line)

        self.keepers.append(Keeper(start(), start, self.console))
        return self.keepers[-1]


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keep]:
    """With short delays."""
    monkeypatch.setattr(keeper_module, "_FIRST_DELAY_SECONDS", 0.05)
    keep = Keep()
    yield keep
    for keeper in keep.keepers:
        keeper.child.stop()


def _next_child(keeper: Keeper) -> Child:
    """Look until there is one."""
    before = keeper.child

    def look() -> bool:
        keeper.look()
        return keeper.child is not before

    wait_until(look)
    return keeper.child


def test_a_crash_is_shown_and_followed_by_another_start(keep: Keep) -> None:
    keeper = keep("print('hello'); raise SystemExit(3)")

    _next_child(keeper)

    assert "crasher   | hello" in keep.output.getvalue()
    expected = "crasher ended with status 3; starting it again in 0 s"
    assert expected in keep.output.getvalue()


def test_each_crash_makes_the_next_delay_longer(keep: Keep) -> None:
    keeper = keep("raise SystemExit(3)")
    starts = []

    for _ in range(4):
        _next_child(keeper)
        starts.append(time.monotonic())

    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert all(pause >= 0.05 * 2**n for n, pause in enumerate(pauses, start=1))


def test_a_program_that_cannot_be_started_is_tried_again(keep: Keep) -> None:
    keeper = keep("raise SystemExit(3)", LocalError("no such thing"), OSError("out of memory"))

    _next_child(keeper)

    assert "crasher cannot start (no such thing)" in keep.output.getvalue()
    assert "crasher cannot start (out of memory)" in keep.output.getvalue()


def test_a_running_program_is_left_alone(keep: Keep) -> None:
    keeper = keep("import time; time.sleep(60)")
    child = keeper.child

    keeper.look()

    assert keeper.child is child
    assert child.status() is None


def test_children_of_a_program_that_was_killed_are_killed_too(keep: Keep, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import os, subprocess, sys, time; from pathlib import Path;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"Path({str(pid_file)!r}).write_text(str(p.pid)); os.kill(os.getpid(), 9)"
    )
    keeper = keep(code)
    keeper.child.wait(60)
    grandchild = int(pid_file.read_text())

    keeper.look()

    wait_until(lambda: not is_alive(grandchild))
