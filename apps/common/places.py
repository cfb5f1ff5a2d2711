"""Threads of a process that slow work may take: never all of them, and of one account still fewer."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Places:
    """How many of each account are taken, of `most` in all and `most_of_account` of one."""

    def __init__(self, most: int, most_of_account: int) -> None:
        self.most = most
        self.most_of_account = most_of_account
        self._lock = threading.Lock()
        self._taken: Counter[UUID] = Counter()

    def are_left(self, account_id: UUID) -> bool:
        """Whether one more of the account may come."""
        with self._lock:
            mine, all_of_them = self._taken[account_id], self._taken.total()
        return mine < self.most_of_account and all_of_them < self.most

    @contextmanager
    def taken(self, account_id: UUID) -> Iterator[None]:
        """Take one while the block runs."""
        self._count(account_id, 1)
        try:
            yield
        finally:
            self._count(account_id, -1)

    def _count(self, account_id: UUID, change: int) -> None:
        with self._lock:
            self._taken[account_id] += change
