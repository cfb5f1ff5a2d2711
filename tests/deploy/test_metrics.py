"""Processes share what they count, each in files of its own."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.environment import ROOT

PROCESS = """
import config
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

Counter("done", "").inc()
Gauge("at_work", "", multiprocess_mode="livesum").inc()
shared = CollectorRegistry()
MultiProcessCollector(shared)
print(generate_latest(shared).decode())
"""


def _run_process(folder: Path) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line for line in result.stdout.splitlines() if line and not line.startswith("#")}


def test_what_a_dead_process_did_counts_and_what_it_had_at_work_does_not(tmp_path: Path) -> None:
    assert _run_process(tmp_path) == {"done_total 1.0", "at_work 1.0"}
    assert _run_process(tmp_path) == {"done_total 2.0", "at_work 1.0"}


def test_a_gauge_of_a_process_of_another_host_is_left_alone(tmp_path: Path) -> None:
    _run_process(tmp_path)
    (gauge,) = tmp_path.glob("gauge_livesum_*.db")
    gauge.rename(tmp_path / "gauge_livesum_elsewhere-1.db")

    assert _run_process(tmp_path) == {"done_total 2.0", "at_work 2.0"}
