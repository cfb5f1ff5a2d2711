"""`make run` from beginning to end, by everybody who may start it."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import pytest

from deploy.local.environment import ROOT
from deploy.local.services import free_port
from tests.deploy.conftest import as_root, on_linux, processes_on
from tests.support import wait_until
from tests.support.installation import copy_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), on_linux]

START_SECONDS = 200.0  # with pip's download in it
STOP_SECONDS = 40.0
# The throw-away services of this test run are not what the installation is to use.
NOT_INHERITED = (
    "DATABASE_URL",
    "REDIS_URL",
    "BROKER_URL",
    "SECRET_KEY",
    "ENCRYPTION_KEYS",
    "HUBSPOT_BASE_URL",
)
PARTS = (
    "apps",
    "config",
    "deploy",
    "sandbox",
    "templates",
    "manage.py",
    "Makefile",
    "requirements.txt",
)
RUN = (sys.executable, "-m", "deploy.local", "run")
RUN_AS_NOBODY = (sys.executable, "-m", "deploy.local", "--no-user-namespaces", "run")


@dataclass
class Installation:
    """A checkout with a DATA_DIR and a port; the log is that of the last start."""

    folder: Path
    root: Path = ROOT
    command: tuple[str, ...] = RUN
    path: str = os.environ["PATH"]
    account: pwd.struct_passwd | None = None
    services: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def data_dir(self) -> Path:
        return self.folder / "var"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def ready_line(self) -> str:
        return f"Tradepost is ready at http://127.0.0.1:{self.port}"

    def start(self, *, port: int | None = None) -> "subprocess.Popen[bytes]":
        """In a process group of its own, as a shell starts it."""
        environment = {
            **{name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
            "DATA_DIR": str(self.data_dir),
            "PORT": str(port or self.port),
            "HOME": str(self.folder),
            "PATH": self.path,
            **self.services,
        }
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                self.command,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.account.pw_uid if self.account else None,
                group=self.account.pw_gid if self.account else None,
                extra_groups=[] if self.account else None,
            )

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        """Started and ready; stopped at the end, unless that has been done."""
        with self.start() as process:
            try:
                wait_until(lambda: self._is_ready(process), seconds=START_SECONDS)
                yield process
            finally:
                process.terminate()
                process.wait(STOP_SECONDS)

    def _is_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        assert process.poll() is None, self.log
        return self.ready_line in self.log

    def key(self) -> str:
        """The API key of the demo's storefront."""
        demo = json.loads((self.data_dir / "demo.json").read_text())
        return str(demo["accounts"]["storefront"]["api_key"])

    def works(self) -> bool:
        """Whether the API knows that key."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", "/api/v1/me", headers={"X-API-Key": self.key()})
            return connection.getresponse().status == 200


def _copy_of_checkout(folder: Path) -> Path:
    root = folder / "checkout"
    for part in PARTS:
        source, target = ROOT / part, root / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    return root


def _has_system_python() -> bool:
    """Whether an account without our PATH has a Python that is new enough."""
    check = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    python = shutil.which("python3", path=os.defpath) or "false"
    return subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0


def _assert_runs(installation: Installation) -> None:
    with installation.running() as process:
        assert installation.works()
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    assert not processes_on(installation.data_dir)


def test_start_stop_and_start_again(tmp_path: Path) -> None:
    installation = Installation(tmp_path)

    with installation.running() as process:
        assert installation.log.count(installation.ready_line) == 1
        assert f"storefront   {installation.key()}" in installation.log
        assert (installation.data_dir / "demo.json").stat().st_mode & 0o777 == 0o600
        assert installation.works()
        assert installation.log.endswith(f"{installation.ready_line}\n")
        assert "SecurityWarning" not in installation.log
        # As a terminal's Ctrl-C does: all of the group at once, and once more by make.
        os.killpg(process.pid, signal.SIGINT)
        process.terminate()
        assert process.wait(STOP_SECONDS) == 0
    assert not processes_on(installation.data_dir)

    with installation.running():
        assert installation.works()
        assert installation.key() not in installation.log
    assert not processes_on(installation.data_dir)


def test_kill_9_is_no_obstacle(prepared: Path, tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    copy_data(prepared, installation.data_dir)

    with installation.running() as process:
        process.kill()
    wait_until(lambda: not processes_on(installation.data_dir), seconds=STOP_SECONDS)

    with installation.running():
        assert installation.works()


def test_services_that_are_given_are_used(tmp_path: Path) -> None:
    given = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL")}
    installation = Installation(tmp_path, services=given)

    with installation.running():
        assert installation.works()
        assert not (installation.data_dir / "postgres").exists()
        assert not (installation.data_dir / "valkey").exists()


def test_what_cannot_start_is_said_at_once(prepared: Path, tmp_path: Path) -> None:
    first = Installation(tmp_path)
    copy_data(prepared, first.data_dir)
    (tmp_path / "second").mkdir()
    second = Installation(tmp_path / "second", port=first.port)

    with first.running():
        first_log = first.log
        with first.start(port=free_port()) as same_data:
            assert same_data.wait(START_SECONDS) == 1
        assert first.log.startswith(f"Tradepost already runs on {first.data_dir} (pid ")
        with second.start() as same_port:
            assert same_port.wait(START_SECONDS) == 1
        assert second.log.startswith(f"Port {first.port} cannot be had")
        assert not second.data_dir.exists()
        assert first.works()
        assert first.ready_line in first_log


@as_root
def test_root_runs_a_checkout_in_a_closed_home(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    installation = Installation(tmp_path, root=_copy_of_checkout(tmp_path))

    _assert_runs(installation)

    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_runs_it_where_namespaces_are_refused(tmp_path: Path) -> None:
    installation = Installation(tmp_path, command=RUN_AS_NOBODY)
    try:
        _assert_runs(installation)
    finally:
        shutil.rmtree((installation.data_dir / "postgres").resolve().parent)


# It makes a virtual environment as `nobody`: a Python that stands in root's home, which is closed to others, cannot
# be the one, and a test installs no other.
@as_root
@pytest.mark.skipif(not _has_system_python(), reason="no Python that other accounts can run")
def test_an_ordinary_user_runs_a_fresh_checkout() -> None:
    """With its own virtual environment, as on a bare machine; not in tmp_path, which is closed."""
    account = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = _copy_of_checkout(folder)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
        installation = Installation(
            folder, root=root, command=("make", "run"), path=os.defpath, account=account
        )

        with installation.running() as process:
            assert installation.works()
            os.killpg(process.pid, signal.SIGINT)
            process.wait(STOP_SECONDS)
        assert not processes_on(installation.data_dir)
