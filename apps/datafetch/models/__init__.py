"""Streams, how far each has come, what it fetched, and who reads it (docs/streams.md)."""

from apps.datafetch.models.records import (
    PAGES_KEPT,
    RAW_KEPT,
    REJECTED_KEPT,
    VERSIONS_KEPT,
    Consumer,
    Page,
    Record,
    Rejected,
    SchemaVersion,
)
from apps.datafetch.models.streams import HostBudget, Progress, Run, Stream

__all__ = [
    "PAGES_KEPT",
    "RAW_KEPT",
    "REJECTED_KEPT",
    "VERSIONS_KEPT",
    "Consumer",
    "HostBudget",
    "Page",
    "Progress",
    "Record",
    "Rejected",
    "Run",
    "SchemaVersion",
    "Stream",
]
