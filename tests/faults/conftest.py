from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation, copy_data


@pytest.fixture
def installation(prepared: Path, tmp_path: Path) -> Iterator[Installation]:
    """A Tradepost of its own, started, and stopped afterwards. Of a test that fails, pytest shows what it logged last."""
    copy_data(prepared, tmp_path)
    one = Installation(tmp_path)
    one.start()
    try:
        yield one
    finally:
        one.stop()
        for log in sorted(tmp_path.glob("*.log")):
            print(f"--- the end of {log.name}", log.read_text()[-3000:], sep="\n")  # noqa: T201 - for pytest to show
