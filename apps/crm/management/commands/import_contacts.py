"""`manage.py import_contacts --account SLUG [--dry-run]`."""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from uuid import UUID

import click
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Account
from apps.common.errors import DomainError
from apps.crm.hubspot.answers import HubSpotError
from apps.crm.models import ContactImport
from apps.crm.services import importing
from apps.crm.services.adopting import Tally
from apps.crm.services.calling import refuse_to_stall

POLL_SECONDS = 0.2
# Where nobody looks on, a line is written after so many contacts.
LINE_EVERY = 1000

Show = Callable[[int, int | None], None]


class Command(BaseCommand):
    help = (
        "Bring HubSpot's contacts to the customers of an account, for the first time or again: what is here"
        " already stays as it is. Interrupted, it goes on where it was when it is called again; while"
        " workers run, they go on with it by themselves unless it was interrupted by Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, metavar="SLUG")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        run = self._rehearse if options["dry_run"] else self._import
        try:
            counts = run(account.id)
        except (DomainError, HubSpotError) as error:
            raise CommandError(error.detail) from None
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(
            f"{counts['read']} contacts: {counts['created']} {would}created,"
            f" {counts['updated']} {would}updated, {counts['unchanged']} unchanged,"
            f" {counts['without_email']} without e-mail, {counts['refused']} refused"
        )

    def _rehearse(self, account_id: UUID) -> dict[str, int]:
        total = Tally()
        with self._progress() as show:
            for tally in importing.rehearse(account_id):
                total.add(tally)
                show(total.read, None)
        return asdict(total)

    def _import(self, account_id: UUID) -> dict[str, int]:
        row = importing.start_import(account_id=account_id)
        with self._progress() as show:
            try:
                while row.ended_at is None:
                    if not importing.import_some(account_id):
                        _refuse_to_wait(row)
                        time.sleep(POLL_SECONDS)
                    row = ContactImport.objects.get(pk=account_id)
                    show(row.read, row.total)
            except KeyboardInterrupt:
                importing.pause_import(account_id=account_id)
                raise CommandError(
                    f"Paused after {row.read} contacts; the same command goes on."
                ) from None
        return {name: getattr(row, name) for name in Tally.__slots__}

    @contextmanager
    def _progress(self) -> Iterator[Show]:
        """A bar on a terminal, else a line now and then."""
        if not sys.stderr.isatty():
            yield self._line
            return
        with click.progressbar(length=0, file=sys.stderr, show_pos=True) as bar:

            def show(read: int, total: int | None) -> None:
                bar.length = max(total or 0, read)
                bar.update(read - bar.pos)

            yield show

    def _line(self, read: int, total: int | None) -> None:
        if read % LINE_EVERY == 0 and read:
            self.stderr.write(f"{read} of {total}" if total else str(read))


def _refuse_to_wait(row: ContactImport) -> None:
    """Nothing is due just now: another worker has it, HubSpot has to be left alone, or it was stopped."""
    if row.due_at is None:
        raise CommandError(row.error or "It was paused; the same command goes on.")
    refuse_to_stall(row.portal_key)
