"""Asking Redis on the connection that a thread keeps."""

from threading import Thread

from apps.accounts import throttle
from apps.common import besteffort
from apps.common.ids import uuid7


def test_a_connection_that_redis_has_closed_is_made_anew() -> None:
    number = besteffort.ask("CLIENT", "ID")
    besteffort.client().client_kill_filter(_id=str(number))

    assert besteffort.ask("CLIENT", "ID") > number


def test_a_thread_keeps_its_connection() -> None:
    assert besteffort.ask("CLIENT", "ID") == besteffort.ask("CLIENT", "ID")


def test_threads_that_end_leave_no_connection_behind() -> None:
    most = besteffort.client().connection_pool.max_connections
    answers: list[object] = []

    for _ in range(most + 1):
        thread = Thread(target=lambda: answers.append(besteffort.ask("ECHO", "here")))
        thread.start()
        thread.join()

    assert answers == [b"here"] * (most + 1)


def test_a_redis_that_has_forgotten_the_script_learns_it() -> None:
    key = uuid7()
    throttle.count(key, 10)
    besteffort.client().script_flush()

    left = [throttle.count(key, 10) for _ in range(2)]

    assert [counted and counted.state.remaining for counted in left] == [8, 7]
