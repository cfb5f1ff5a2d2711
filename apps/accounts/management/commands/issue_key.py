"""`manage.py issue_key`: an API key for an account, which is made when it is new."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_slug

from apps.accounts import services
from apps.accounts.errors import ScopesExceeded


class Command(BaseCommand):
    help = "Issue an API key; the account is made when it is new. The key is shown this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, metavar="SLUG")
        parser.add_argument("--scopes", required=True, help='e.g. "orders:write deals:read"')
        parser.add_argument("--name", default="command line")
        parser.add_argument("--rate-limit", type=int, default=None, help="calls a minute")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            validate_slug(options["account"])
        except ValidationError as error:
            raise CommandError("--account takes letters, digits, - and _.") from error
        account = services.ensure_account(slug=options["account"])
        limit = {"rate_limit": options["rate_limit"]} if options["rate_limit"] else {}
        try:
            issued = services.issue_key(
                account_id=account.id,
                name=options["name"],
                scopes=options["scopes"].split(),
                **limit,
            )
        except ScopesExceeded as error:
            raise CommandError(" ".join(fault.detail for fault in error.faults)) from error
        answer = {"account_id": str(account.id), "api_key": issued.plain}
        self.stdout.write(json.dumps(answer) if options["json"] else issued.plain)
