"""`manage.py seed_demo`: the accounts, keys and administrator of a demonstration."""

import json
import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from apps.accounts import keys, services
from apps.accounts.models import ApiKey, User

EVERYONE = ("webhooks:write", "events:read", "accounts:read")
RATE_LIMIT = 100_000  # calls a minute, so that a load test is not throttled

ACCOUNTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "storefront": ("Demo Storefront", ("orders:write", "customers:write")),
    "seller": ("Demo Seller", ("deals:write",)),
    "buyer": ("Demo Buyer", ("deals:read", "bids:write")),
    "other-buyer": ("Another Demo Buyer", ("deals:read", "bids:write")),
    "data": ("Demo Data", ("streams:write",)),
    "crm": ("Demo CRM", ("customers:write",)),
}


class Command(BaseCommand):
    help = "Make the demo accounts, once; their keys go to --output, readable by its owner alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", required=True)
        parser.add_argument("--output", required=True, type=Path)
        parser.add_argument("--admin-password", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        output: Path = options["output"]
        if output.exists() and self._is_current(output):
            self._follow(output, options["base_url"])
            return
        with transaction.atomic():
            demo = {
                "base_url": options["base_url"],
                "admin": self._admin(options["admin_password"] or secrets.token_urlsafe(12)),
                "accounts": {slug: self._account(slug) for slug in ACCOUNTS},
            }
            self._write(output, demo)

    def _is_current(self, output: Path) -> bool:
        """False when the file tells of a database that is gone."""
        accounts = json.loads(output.read_text())["accounts"]
        hashes = [keys.digest(account["api_key"]) for account in accounts.values()]
        return ApiKey.objects.filter(hash__in=hashes).count() == len(ACCOUNTS)

    def _follow(self, output: Path, base_url: str) -> None:
        """The port may have changed since the last run."""
        demo = json.loads(output.read_text())
        if demo["base_url"] != base_url:
            self._write(output, {**demo, "base_url": base_url})

    def _admin(self, password: str) -> dict[str, str]:
        user, _ = User.objects.get_or_create(
            username="admin", defaults={"is_staff": True, "is_superuser": True}
        )
        user.set_password(password)
        user.save(update_fields=["password"])
        return {"username": user.username, "password": password}

    def _account(self, slug: str) -> dict[str, str]:
        name, scopes = ACCOUNTS[slug]
        account = services.ensure_account(slug=slug, name=name)
        issued = services.issue_key(
            account_id=account.id,
            name="demo",
            scopes=(*scopes, *EVERYONE),
            rate_limit=RATE_LIMIT,
        )
        return {"id": str(account.id), "api_key": issued.plain}

    def _write(self, output: Path, demo: dict[str, Any]) -> None:
        """In one step, so that nobody reads half of it."""
        part = output.with_suffix(".part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(demo, file, indent=2)
        part.rename(output)
