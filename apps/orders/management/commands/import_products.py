"""`manage.py import_products FILE --account SLUG [--dry-run]`."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Account
from apps.common.actor import system
from apps.common.errors import Invalid
from apps.orders.services import imports

NAME = "import_products"


class Command(BaseCommand):
    help = (
        "Bring products and their stock in from a CSV file. Its first line names the columns: sku, and any"
        " of name, price (in the minor unit), currency, active, low_stock_threshold, stock (as counted)."
        " An empty cell leaves things as they are. Bad rows are left out and listed; then the exit status"
        " is 1. The same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--account", required=True, metavar="SLUG")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(f"There is no account {options['account']!r}.")
        is_rehearsal = options["dry_run"]
        run = imports.preview if is_rehearsal else partial(imports.commit, actor=system(NAME))
        try:
            with options["file"].open("rb") as source, _bar(source) as progress:
                report = run(account_id=account.id, source=source, progress=progress)
        except (Invalid, OSError) as error:
            raise CommandError(str(error)) from None
        would = "would be " if is_rehearsal else ""
        self.stdout.write(
            f"{report.created} {would}created, {report.updated} {would}updated,"
            f" {report.unchanged} unchanged, {report.refused} refused"
        )
        for row in report.bad:
            self.stderr.write(f"line {row.line}, {row.sku or 'no sku'}: {row.fault}")
        if report.refused:
            raise CommandError(f"{report.refused} rows were refused.")


@contextmanager
def _bar(source: BinaryIO) -> Iterator[Callable[[], None]]:
    """A bar of the bytes read, shown where a person looks on; to be called now and then."""
    size = os.fstat(source.fileno()).st_size
    with click.progressbar(length=size, file=sys.stderr) as bar:
        yield lambda: bar.update(source.tell() - bar.pos)
