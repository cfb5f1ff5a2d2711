from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, copy_data


@pytest.fixture
def installation(prepared: Path, tmp_path: Path) -> Iterator[Installation]:
    """A Tradepost of its own, started, and stopped afterwards."""
    copy_data(prepared, tmp_path)
    one = Installation(tmp_path)
    one.start()
    try:
        yield one
    finally:
        one.stop()
