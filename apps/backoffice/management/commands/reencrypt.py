"""`manage.py reencrypt`: after a new key was put in front of ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.backoffice.reencryption import reencrypt_all


class Command(BaseCommand):
    help = (
        "Encrypt every stored secret by the newest key. When it succeeds, the older keys can be taken out "
        "of ENCRYPTION_KEYS."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unopened = 0
        for outcome in reencrypt_all():
            unopened += outcome.unopened
            left = f", {outcome.unopened} that no key opens" if outcome.unopened else ""
            self.stdout.write(f"{outcome.column}: {outcome.renewed} encrypted anew{left}")
        if unopened:
            raise CommandError(
                f"{unopened} values cannot be opened: put the key that was taken out back, at the end."
            )
