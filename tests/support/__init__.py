"""What every test may use: plain functions and classes here, fixtures in tests/conftest.py."""

from tests.support.api import ApiClient
from tests.support.concurrency import (
    background,
    concurrently,
    holding,
    somebody_waits_for_a_lock,
    uncommitted,
)
from tests.support.jobs import run_jobs
from tests.support.receiver import Answer, Received, Receiver
from tests.support.stopping import stopped_while_reading
from tests.support.tables import everything_stored, table_of
from tests.support.waiting import wait_until

__all__ = [
    "Answer",
    "ApiClient",
    "Received",
    "Receiver",
    "background",
    "concurrently",
    "everything_stored",
    "holding",
    "run_jobs",
    "somebody_waits_for_a_lock",
    "stopped_while_reading",
    "table_of",
    "uncommitted",
    "wait_until",
]
