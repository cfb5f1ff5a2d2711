"""`make run`: services, database, web, workers and beat, started and stopped in order."""

import json
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from deploy.local.child import Child, Program
from deploy.local.console import Console
from deploy.local.environment import (
    LOOPBACK_NETWORKS,
    ROOT,
    Choices,
    local_secrets,
    make_data_dir,
    read_choices,
    write_variables,
)
from deploy.local.errors import LocalError
from deploy.local.health import STALE_SECONDS, HealthWatch
from deploy.local.keeper import Keeper
from deploy.local.lock import lock_run
from deploy.local.processes import Process, processes, simulated_hubspot
from deploy.local.relay import Relay
from deploy.local.services import (
    EmbeddedPostgres,
    EmbeddedValkey,
    Service,
    free_port,
    start_service,
)
from deploy.local.stopping import StopRequested, StopWish, stop_wish

_SERVICE_STAGE = 0
_PREPARE_STAGE = 0
_LOOK_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 15.0


def run(*, user_namespaces: bool = True) -> int:
    """Run until SIGINT or SIGTERM; returns 0 after a clean stop. Raises LocalError."""
    choices = read_choices()
    if not choices.data_dir.exists():
        _check_port(choices.port)  # so that a start which cannot be leaves no folder behind
    make_data_dir(choices.data_dir)
    with stop_wish() as wish:
        lock = lock_run(choices.data_dir / "run" / "lock")
        _check_port(choices.port)
        return Supervisor(choices, wish, lock, user_namespaces=user_namespaces).run()


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        # As the server does: connections that have just ended are no obstacle, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalError(
                f"Port {port} cannot be had ({error.strerror}): set another one, for example"
                f" PORT={port + 1} make run"
            ) from None


class Supervisor:
    """Everything that runs, and the order of its start and stop."""

    def __init__(
        self, choices: Choices, wish: StopWish, lock: int, *, user_namespaces: bool
    ) -> None:
        self._choices = choices
        self._wish = wish
        self._lock = lock
        self._demo_file = choices.data_dir / "demo.json"
        self._demo_is_new = not self._demo_file.exists()
        self._services = self._embedded_services(user_namespaces)
        run_dir = choices.data_dir / "run"
        self._metrics_dir = run_dir / "metrics"
        self._addresses: dict[str, str] = {}
        table = [*processes(port=choices.port, run_dir=run_dir), *self._simulators()]
        self._table = sorted(table, key=lambda p: p.stage)
        names = [service.name for service in self._services] + [row.name for row in self._table]
        self._console = Console([*names, "prepare"], sys.stdout)
        self._relay = Relay()
        self._keepers: list[tuple[int, Keeper]] = []
        self._workers: dict[str, Keeper] = {}

    def run(self) -> int:
        """Start all, watch over it, stop all."""
        try:
            self._empty_metrics_dir()
            self._start_services()
            self._prepare()
            self._start_processes(that_may_wait=False)
            health = HealthWatch(self._choices.port, self._relay)
            self._await_readiness(health)
            self._start_processes(that_may_wait=True)
            self._watch(health)
        except StopRequested:
            pass
        finally:
            self._stop()
        return 0

    def _embedded_services(self, user_namespaces: bool) -> list[Service]:
        passwords = local_secrets(self._choices.data_dir)
        services: list[Service] = []
        if not self._choices.database_url:
            password = passwords["POSTGRES_PASSWORD"]
            services.append(
                EmbeddedPostgres(
                    self._choices.data_dir,
                    password,
                    durable=True,
                    user_namespaces=user_namespaces,
                )
            )
        if not self._choices.redis_url:
            services.append(EmbeddedValkey(self._choices.data_dir, passwords["VALKEY_PASSWORD"]))
        return services

    def _simulators(self) -> list[Process]:
        if not self._choices.simulates_hubspot:
            return []
        port = free_port()
        self._addresses["HUBSPOT_BASE_URL"] = f"http://127.0.0.1:{port}"
        # It signs with it what it tells.
        self._addresses["HUBSPOT_CLIENT_SECRET"] = secrets.token_hex(16)
        told = f"http://127.0.0.1:{self._choices.port}/api/v1/hubspot/webhooks"
        return [simulated_hubspot(port, told)]

    def _start_services(self) -> None:
        for service in self._services:
            self._console.say(f"starting {service.name}")
            child = start_service(
                service, self._relay, self._console.line, self._wish, keep_open=(self._lock,)
            )
            self._keep(_SERVICE_STAGE, child, partial(self._start_service_again, service))
            self._addresses[service.address_variable] = service.url
        write_variables(
            self._choices.data_dir / "services.env",
            {
                **self._addresses,
                "PORT": str(self._choices.port),
                "BASE_URL": self._choices.base_url,
                "OUTGOING_ALLOWED_NETWORKS": LOOPBACK_NETWORKS,
            },
        )

    def _start_service_again(self, service: Service) -> Child:
        """On the port that it had: everybody knows that one."""
        service.prepare()
        return self._start(replace(service.program(), keep_open=(self._lock,)))

    def _prepare(self) -> None:
        """Migrations, static files and demo data; nothing starts on a database that lacks them."""
        options = ["--base-url", self._choices.base_url, "--demo", str(self._demo_file)]
        if not self._choices.database_url:  # else other hosts may be at work on it
            options.append("--fresh-start")
        command = shlex.join(["python", "manage.py", "prepare", *options])
        child = self._start(self._program(Process("prepare", command, stage=_PREPARE_STAGE)))
        while not child.wait(_LOOK_SECONDS) and not self._wish.number:
            pass
        child.stop()
        self._wish.check()
        if child.status() != 0:
            raise LocalError("The database could not be prepared; the lines above say why")

    def _empty_metrics_dir(self) -> None:
        """Counters start at zero with the processes that share them."""
        shutil.rmtree(self._metrics_dir, ignore_errors=True)
        self._metrics_dir.mkdir()

    def _start_processes(self, *, that_may_wait: bool) -> None:
        for row in self._table:
            if row.may_wait == that_may_wait:
                self._console.say(f"starting {row.name}")
                start = partial(self._start, self._program(row))
                keeper = self._keep(row.stage, start(), start)
                if row.queue:
                    self._workers[row.queue] = keeper

    def _start(self, program: Program) -> Child:
        return Child(program, self._relay, self._console.line)

    def _keep(self, stage: int, child: Child, start_again: Callable[[], Child]) -> Keeper:
        keeper = Keeper(child, start_again, self._console)
        self._keepers.append((stage, keeper))
        return keeper

    def _program(self, row: Process) -> Program:
        name, *arguments = shlex.split(row.command)
        # By module: a script's first line breaks when the checkout is moved or its path is long.
        command = (sys.executable, *(() if name == "python" else ("-m", name)), *arguments)
        environment = {
            **os.environ,
            **self._addresses,
            "DATA_DIR": str(self._choices.data_dir),
            "PORT": str(self._choices.port),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_dir),
        }
        return Program(
            name=row.name,
            command=command,
            environment=environment,
            folder=ROOT,
            stop_seconds=row.stop_seconds,
            death_signal=row.death_signal,
            keep_open=(self._lock,),
        )

    def _await_readiness(self, health: HealthWatch) -> None:
        """Return after some seconds in any case: what may wait may be what is missing."""
        wait_until = time.monotonic() + _LONGEST_WAIT_SECONDS
        while not health.latest.is_ready and time.monotonic() < wait_until:
            self._look(health)

    def _watch(self, health: HealthWatch) -> None:
        announced = False
        while True:
            if health.latest.is_ready and not announced:
                announced = True
                self._announce()
            self._look(health)

    def _look(self, health: HealthWatch) -> None:
        """One turn of the loop. Raises StopRequested."""
        self._wish.check()
        self._relay.run(_LOOK_SECONDS)
        for _stage, keeper in self._keepers:
            keeper.look()
        health.look()
        self._kill_hanging_workers(health.latest.stale_queues)

    def _kill_hanging_workers(self, queues: frozenset[str]) -> None:
        """Their keepers start them again."""
        for queue in queues & self._workers.keys():
            worker = self._workers[queue]
            if worker.child.status() is None and worker.uptime > STALE_SECONDS:
                self._console.say(f"the worker of {queue} shows no sign of life; killing it")
                worker.child.finish(0)

    def _announce(self) -> None:
        if self._demo_is_new and self._demo_file.exists():
            self._console.announce(demo_accounts(self._demo_file))
        self._console.announce(f"Tradepost is ready at http://127.0.0.1:{self._choices.port}")

    def _stop(self) -> None:
        """In reverse order; those of one stage at the same time."""
        for stage in sorted({stage for stage, _ in self._keepers}, reverse=True):
            children = [keeper.child for at, keeper in self._keepers if at == stage]
            self._console.say(f"stopping {', '.join(child.program.name for child in children)}")
            for child in children:
                child.ask_to_stop()
            for child in children:
                if not child.finish(child.program.stop_seconds):
                    self._console.say(f"{child.program.name} did not stop in time; killed it")


def demo_accounts(path: Path) -> str:
    """The accounts in demo.json, to be read by a person."""
    demo = json.loads(path.read_text())
    lines = [f"Demo accounts (kept in {path}):"]
    admin = demo["admin"]
    lines.append(f"  admin        {admin['username']} / {admin['password']}")
    lines += [f"  {slug:<12} {account['api_key']}" for slug, account in demo["accounts"].items()]
    return "\n".join(lines)
