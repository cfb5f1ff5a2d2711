"""A worker that does bulk actions and kills itself within its n-th object: `python -m tests.common.dying N`."""

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import django

RIGHT = "accounts.change_account"

done = 0


def main(nth: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from apps.accounts.models import Account
    from apps.common import bulk

    def mark(account: Account, actor: Any, inputs: Mapping[str, Any]) -> str:
        global done
        Account.objects.filter(pk=account.pk).update(name=f"{account.name}done")
        done += 1
        if done == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    bulk.register(
        bulk.Operation(
            "tests.account.dying", "Die", Account, mark, lambda row, inputs: inputs, RIGHT
        )
    )
    while bulk.do_next():
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
