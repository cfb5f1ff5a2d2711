"""What a receiver may ask for in the `webhook-delivery` header of its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.webhooks.control import MAX_PAUSE_SECONDS, Control, control


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (None, Control()),
        ("", Control()),
        ("retry=false", Control(retry=False)),
        ("Retry=FALSE", Control(retry=False)),
        ("retry=true", Control()),
        ("pause=60", Control(pause=60.0)),
        ("retry=false, pause=5", Control(retry=False, pause=5.0)),
        ("pause=999999999", Control(pause=MAX_PAUSE_SECONDS)),
        ("pause=-1", Control()),
        ("pause=1.5", Control()),
        ("pause=٣", Control()),
        ("pause", Control()),
        ("something else", Control()),
        ("retry=false," * 20, Control()),
    ],
)
def test_words_are_understood_or_ignored(header: str | None, asked: Control) -> None:
    assert control(header) == asked


@given(st.text(max_size=120))
def test_no_header_breaks_anything(header: str) -> None:
    asked = control(header)

    assert asked.pause is None or 0 <= asked.pause <= MAX_PAUSE_SECONDS
