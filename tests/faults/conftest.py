from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """A Tradepost of its own, started, and stopped afterwards."""
    one = Installation(tmp_path)
    one.start()
    try:
        yield one
    finally:
        one.stop()
