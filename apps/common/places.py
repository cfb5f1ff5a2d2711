"""Threads of a process that slow work may take: never all of them, and of one account still fewer."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class NoPlaceLeftError(Exception):
    """All that there are, or that the account may have, are taken."""


class Places:
    """How many of each account are taken, of `most` in all and `most_of_account` of one."""

    def __init__(self, most: int, most_of_account: int) -> None:
        self.most = most
        self.most_of_account = most_of_account
        self._lock = threading.Lock()
        self._taken: Counter[UUID] = Counter()

    def are_left(self, account_id: UUID) -> bool:
        """Whether one more of the account may come, were it to come at once."""
        with self._lock:
            return self._are_left(account_id)

    @contextmanager
    def taken(self, account_id: UUID) -> Iterator[None]:
        """Take one while the block runs; NoPlaceLeftError when none is left."""
        with self._lock:
            if not self._are_left(account_id):
                raise NoPlaceLeftError
            self._taken[account_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[account_id] -= 1

    def _are_left(self, account_id: UUID) -> bool:
        mine, all_of_them = self._taken[account_id], self._taken.total()
        return mine < self.most_of_account and all_of_them < self.most
