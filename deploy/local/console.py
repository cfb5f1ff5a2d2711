"""What the person at the terminal sees: every process's lines, with its name in front."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import TextIO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

_OWN_NAME = "tradepost"


class Console:
    """Prints lines; the widest of `names` decides where they start."""

    def __init__(self, names: Iterable[str], output: TextIO) -> None:
        known = [_OWN_NAME, *names]
        self._colours = dict(zip(known, get_colours(), strict=False))
        self._output = output
        self._printer = Printer(output, width=max(map(len, known)))

    def line(self, name: str, text: str) -> None:
        """A line of a process."""
        now = datetime.now().astimezone()
        message = Message("line", text, now, name, self._colours[name])
        with suppress(OSError):  # a terminal that was closed is no reason to stop in a hurry
            self._printer.write(message)

    def say(self, text: str) -> None:
        """A line of the supervisor about its work."""
        self.line(_OWN_NAME, text)

    def announce(self, text: str) -> None:
        """News for people and for programs that wait for it: nothing in front."""
        with suppress(OSError):
            print(text, file=self._output, flush=True)
