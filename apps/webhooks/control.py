"""The `webhook-delivery` header, with which a receiver's answer says how it wants to be sent to.

Words separated by commas, of any letter case: `retry=false`, if the answer is not a success, makes it the
last attempt of this delivery; `pause=SECONDS` holds back all that its endpoint is owed, for at most ten
hours. What is not understood is ignored.
"""

from typing import NamedTuple

MAX_PAUSE_SECONDS = 10 * 3600.0
MAX_LENGTH = 100


class Control(NamedTuple):
    """What an answer asks for; `pause` in seconds."""

    retry: bool = True
    pause: float | None = None


NOTHING_ASKED = Control()


def control(header: str | None) -> Control:
    """What the header of an answer says."""
    asked = NOTHING_ASKED
    if header is None or len(header) > MAX_LENGTH:
        return asked
    for word in header.lower().split(","):
        name, _, value = word.strip().partition("=")
        if name == "retry" and value == "false":
            asked = asked._replace(retry=False)
        elif name == "pause" and value.isascii() and value.isdigit():
            asked = asked._replace(pause=min(float(value), MAX_PAUSE_SECONDS))
    return asked
