"""`deploy.local exec --throwaway`: services for one command, gone after it however it ends."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.environment import ROOT
from tests.deploy.conftest import on_linux, processes_on
from tests.support import wait_until
from tests.support.installation import is_alive

SHOW_ENVIRONMENT = "import json, os; print(json.dumps({**os.environ, 'COMMAND_PID': str(os.getpid())}), flush=True)"
WAIT = f"import time; {SHOW_ENVIRONMENT}; time.sleep(60)"


def _popen(program: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--"]
    return subprocess.Popen(
        [*command, sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def _environment(process: "subprocess.Popen[str]") -> dict[str, str]:
    assert process.stdout
    environment: dict[str, str] = json.loads(process.stdout.readline())
    return environment


@pytest.fixture
def waiting() -> Iterator["subprocess.Popen[str]"]:
    """A command that would take a minute, on throw-away services."""
    with _popen(WAIT) as process:
        yield process
        process.kill()


def test_it_gives_the_command_services_and_returns_its_status() -> None:
    with _popen(f"{SHOW_ENVIRONMENT}; raise SystemExit(7)") as process:
        environment = _environment(process)

    assert process.returncode == 7
    assert environment["DATABASE_URL"].startswith("postgres://tradepost:")
    assert environment["REDIS_URL"].startswith("redis://:")
    assert environment["OUTGOING_ALLOWED_NETWORKS"] == "127.0.0.0/8,::1/128"
    assert environment["SECRET_KEY"]
    assert environment["ENCRYPTION_KEYS"]
    assert environment["DATABASE_URL"] != os.environ["DATABASE_URL"]
    assert not Path(environment["DATA_DIR"]).exists()


def test_a_command_that_does_not_exist_is_said() -> None:
    command = [sys.executable, "-m", "deploy.local", "exec", "--throwaway", "--", "no-such-thing"]

    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr == "There is no command 'no-such-thing'\n"


@on_linux
def test_ctrl_c_leaves_nothing_behind(waiting: "subprocess.Popen[str]") -> None:
    data_dir = _environment(waiting)["DATA_DIR"]
    assert len(processes_on(data_dir)) > 2

    os.killpg(waiting.pid, signal.SIGINT)  # a terminal tells the whole group

    assert waiting.wait(60) == 130
    assert not Path(data_dir).exists()
    assert not processes_on(data_dir)


@on_linux
def test_a_signal_to_it_alone_ends_the_command_too(waiting: "subprocess.Popen[str]") -> None:
    environment = _environment(waiting)

    waiting.terminate()

    assert waiting.wait(60) == 143
    assert not is_alive(int(environment["COMMAND_PID"]))
    assert not Path(environment["DATA_DIR"]).exists()
    assert not processes_on(environment["DATA_DIR"])


@pytest.mark.slow
@on_linux
def test_kill_9_takes_command_and_services_along(waiting: "subprocess.Popen[str]") -> None:
    environment = _environment(waiting)

    waiting.kill()

    wait_until(lambda: not is_alive(int(environment["COMMAND_PID"])))
    wait_until(lambda: not processes_on(environment["DATA_DIR"]))
    shutil.rmtree(environment["DATA_DIR"])
