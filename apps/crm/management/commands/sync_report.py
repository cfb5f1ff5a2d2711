"""`manage.py sync_report --account SLUG [--json | --csv] [--only-there]`."""

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Account
from apps.common.api.streaming import csv_rows
from apps.common.errors import DomainError
from apps.crm.hubspot.answers import HubSpotError
from apps.crm.services.reporting import Difference, differences

NOT_COMPARED = 2


class Command(BaseCommand):
    help = (
        "Compare an account's customers with their contacts in HubSpot and list what differs, a line each."
        " Nothing is changed. The exit status is 0 when nothing differs, 1 when something does, 2 when they"
        " could not be compared."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, metavar="SLUG")
        parser.add_argument(
            "--only-there", action="store_true", help="also contacts that are no customer's"
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="a JSON object a line")
        form.add_argument("--csv", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        account = Account.objects.filter(slug=options["account"]).first()
        if account is None:
            raise CommandError(
                f"There is no account {options['account']!r}.", returncode=NOT_COMPARED
            )
        write = self._writer(options)
        kinds: Counter[str] = Counter()
        try:
            for found in differences(account_id=account.id, only_there=options["only_there"]):
                kinds[found.kind.value] += 1
                write(found)
        except (DomainError, HubSpotError) as error:
            raise CommandError(error.detail, returncode=NOT_COMPARED) from None
        if kinds:
            listed = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
            raise CommandError(f"{kinds.total()} differences: {listed}")
        self.stderr.write("No differences.")

    def _writer(self, options: dict[str, Any]) -> Callable[[Difference], object]:
        if options["json"]:
            return lambda found: self.stdout.write(json.dumps(asdict(found)))
        if options["csv"]:
            self._write_row(field.name for field in fields(Difference))
            return lambda found: self._write_row(asdict(found).values())
        return lambda found: self.stdout.write(_sentence(found))

    def _write_row(self, row: Iterable[str]) -> None:
        self.stdout.write(csv_rows([row]).decode(), ending="")


def _sentence(found: Difference) -> str:
    who = " ".join(one for one in (found.customer_id, found.contact_id, found.email) if one)
    what = f"{found.kind}"
    if found.property:
        what += f" {found.property}: {found.here!r} here, {found.there!r} there"
    elif found.there:
        what += f" contact {found.there}"
    return f"{who}: {what}" + (f" ({found.state})" if found.state else "")
