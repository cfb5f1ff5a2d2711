"""The processes of Tradepost. docker-compose.yml runs the very same commands."""

import signal
from dataclasses import dataclass
from pathlib import Path

# Of each of web's processes: as many as it may hold connections to PostgreSQL. A body that does not
# come keeps one of them waiting (docs/deployment.md), and an idle one costs next to nothing.
WEB_THREADS = 16

# Granian counts connections, idle ones too, and takes no more of them; `--http 1`, as it gives up
# those that stay silent only when it need not find out first which HTTP they are going to speak.
_WEB = (
    f"--workers 2 --blocking-threads {WEB_THREADS} --http 1 --no-ws --backpressure 256"
    " --respawn-failed-workers --respawn-interval 1 --workers-kill-timeout 10 --log-level error"
)


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


def simulated_hubspot(port: int, webhook_url: str) -> Process:
    """What the CRM talks to where nobody said which HubSpot: everything in memory, nothing leaves."""
    command = f"python -m sandbox.hubspot --port {port} --webhook-url {webhook_url}"
    return Process("hubspot", command, stage=1)


def processes(*, port: int, run_dir: Path, host: str = "127.0.0.1") -> tuple[Process, ...]:
    """Web, workers and beat; `run_dir` holds what beat remembers between starts."""
    return (
        Process("worker-fast", "python -m config.worker fast fast@%h", stage=1, queue="fast"),
        Process("worker-slow", "python -m config.worker slow slow@%h", stage=1, queue="slow"),
        Process(
            "beat",
            f"python -m config.beat {run_dir}/celerybeat-schedule",
            stage=2,
            may_wait=True,
        ),
        Process(
            "web",
            f"python -m config.web --interface wsgi --host {host} --port {port} {_WEB} config.wsgi:application",
            stage=2,
            # It has workers to take along, which nobody tells when it is killed.
            death_signal=signal.SIGTERM,
        ),
    )
