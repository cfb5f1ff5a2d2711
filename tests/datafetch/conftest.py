"""What tests of data fetch share."""

from collections.abc import Iterator

import pytest

from tests.datafetch.workers import Workers


@pytest.fixture
def workers(transactional_db: None) -> Iterator[Workers]:
    """Whom a test may kill."""
    with Workers() as started:
        yield started
