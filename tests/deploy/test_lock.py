"""One run per DATA_DIR, and what a killed run left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.lock import lock_run
from tests.deploy.conftest import on_linux

pytestmark = on_linux

# A supervisor is known by the module in its command line.
WAIT = "import sys, time; print('here', flush=True); time.sleep(60)"


@pytest.fixture
def lock_path(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "lock"


@pytest.fixture
def inherit(lock_path: Path) -> Iterator["Inherit"]:
    with ExitStack() as stack:
        yield Inherit(lock_path, stack)


class Inherit:
    """Starts processes that hold the lock after the one that took it is gone."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self._path = path
        self._stack = stack

    def __call__(self, *arguments: str) -> "subprocess.Popen[bytes]":
        descriptor = lock_run(self._path)
        process = subprocess.Popen(
            [sys.executable, "-c", WAIT, *arguments],
            pass_fds=(descriptor,),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        assert process.stdout
        process.stdout.readline()
        os.close(descriptor)
        return process


def test_a_second_run_is_refused_while_the_first_is_alive(
    lock_path: Path, inherit: Inherit
) -> None:
    supervisor = inherit("deploy.local")

    with pytest.raises(LocalError, match=rf"already runs on {lock_path.parents[1]} \(pid"):
        lock_run(lock_path)

    assert supervisor.poll() is None


def test_what_a_killed_run_left_behind_is_ended(lock_path: Path, inherit: Inherit) -> None:
    leftover = inherit()

    os.close(lock_run(lock_path))

    assert leftover.wait(60) != 0


def test_the_lock_is_free_again_after_its_holder(lock_path: Path) -> None:
    os.close(lock_run(lock_path))
    os.close(lock_run(lock_path))
