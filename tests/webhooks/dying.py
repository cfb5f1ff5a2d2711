"""A worker that is killed at a chosen moment: `python -m tests.webhooks.dying HOW MOMENT`.

HOW is `claims` or `fast`. MOMENT is the name of one in `MOMENTS`, or a number n: then it dies where a
request that is being sent would go on for the n-th time. One that reaches no such moment sends all there
is and ends with 0.
"""

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from types import SimpleNamespace
from typing import Any

import django


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Counted(Awaitable[Any]):
    """Awaits something, and dies where that would go on for the n-th time."""

    steps = 0

    def __init__(self, awaited: Awaitable[Any], n: int) -> None:
        self._awaited, self._n = awaited, n

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._awaited.__await__()
        sent: Any = None
        while True:
            if Counted.steps == self._n:
                die()
            Counted.steps += 1
            try:
                step = inner.send(sent)
            except StopIteration as end:
                return end.value
            sent = yield step


def dies_before(work: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: die()


def dies_after(work: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> None:
        work(*args, **kwargs)
        die()

    return run


# Where, and on which side of it.
MOMENTS = {
    "leased": ("apps.webhooks.delivering", "prepare", dies_before),
    "handed over": ("apps.webhooks.delivering", "Delivering.hand_over", dies_before),
    "answered": ("apps.webhooks.sender", "Sender._record_all", dies_before),
    "recorded": ("apps.webhooks.sender", "Sender._record_all", dies_after),
}


def arrange(moment: str) -> None:
    """Make this process die at that moment."""
    from apps.webhooks import sender, transport

    if moment.isdecimal():
        usual = transport.post
        setattr(sender, "post", lambda *args: Counted(usual(*args), int(moment)))  # noqa: B010
        return
    module, path, how = MOMENTS[moment]
    owner = sys.modules[module]
    *owners, name = path.split(".")
    for one in owners:
        owner = getattr(owner, one)
    setattr(owner, name, how(getattr(owner, name)))


def main(how: str, moment: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from apps.events.dispatch import dispatch
    from apps.webhooks.delivering import delivering
    from apps.webhooks.tasks import take_name

    take_name(sender=SimpleNamespace(hostname="fast@dying"))
    delivering.leases.settle([])
    arrange(moment)
    if how == "fast":
        dispatch()
    delivering.deliver()
    delivering.sender.wait_until_empty(30)
    delivering.stop(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
