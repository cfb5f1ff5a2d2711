"""The processes of Tradepost. docker-compose.yml runs the very same commands."""

import signal
from dataclasses import dataclass
from pathlib import Path

_WORKER = "celery -A config worker --pool threads -c 8 --without-gossip --without-mingle -l INFO"


@dataclass(frozen=True)
class Process:
    """One row of the table below. Processes of a higher stage start later and stop earlier.

    One that `may_wait` starts when the others are ready, so that they are ready sooner.
    """

    name: str
    command: str
    stage: int
    queue: str | None = None
    may_wait: bool = False
    stop_seconds: float = 15.0
    death_signal: signal.Signals = signal.SIGKILL


def processes(*, port: int, run_dir: Path, host: str = "127.0.0.1") -> tuple[Process, ...]:
    """Web, workers and beat; `run_dir` holds what beat remembers between starts."""
    return (
        Process("worker-fast", f"{_WORKER} -Q fast -n fast@%h", stage=1, queue="fast"),
        Process("worker-slow", f"{_WORKER} -Q slow -n slow@%h", stage=1, queue="slow"),
        Process(
            "beat",
            f"celery -A config beat -s {run_dir}/celerybeat-schedule --pidfile= -l INFO",
            stage=2,
            may_wait=True,
        ),
        Process(
            "web",
            f"granian --interface wsgi --host {host} --port {port} --workers 2"
            " --blocking-threads 4 --backpressure 64 --no-ws --respawn-failed-workers"
            " --respawn-interval 1 --workers-kill-timeout 10 config.wsgi:application",
            stage=2,
            # It has workers to take along, which nobody tells when it is killed.
            death_signal=signal.SIGTERM,
        ),
    )
