"""Who may do what in the back office: one table, from which the groups of staff are made.

A person can have several roles. Each role also looks at whatever a viewer may look at. Nobody but a
superuser may do what no role is named for; nothing of record is deleted by anybody.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import transaction


class Role(StrEnum):
    """The name of a group."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    FINANCE = "finance"
    ADMINISTRATOR = "administrator"


_EVERYBODY = tuple(Role)
_BUSINESS = (Role.OPERATOR,)
_MONEY = (Role.FINANCE,)
_PEOPLE = (Role.ADMINISTRATOR,)
_NOBODY: tuple[Role, ...] = ()


class Page(NamedTuple):
    """Who may look at a model's pages, make its objects, change them (which includes the actions that ask
    for `change`), and who has which permission of the model's own, by code name."""

    view: tuple[Role, ...] = _EVERYBODY
    change: tuple[Role, ...] = _NOBODY
    add: tuple[Role, ...] = _NOBODY
    own: dict[str, tuple[Role, ...]] = {}


_RECORD = Page()  # looked at, changed by nobody
_OPERATED = Page(change=_BUSINESS)
_CONFIDENTIAL = Page(view=_PEOPLE)
_HOUSEHOLD = Page(change=_PEOPLE)

PAGES: dict[str, Page] = {
    "orders.Storefront": _OPERATED,
    "orders.Product": _OPERATED,
    "orders.ProductImport": Page(add=_BUSINESS, change=_BUSINESS),
    "orders.Stock": _OPERATED,
    "orders.StockMovement": _RECORD,
    "orders.StockDrift": _RECORD,
    "orders.Order": _OPERATED,
    "orders.OrderLine": _RECORD,
    "orders.OrderChange": _RECORD,
    "orders.Shipment": _RECORD,
    "orders.Return": _RECORD,
    "orders.Payment": Page(change=_MONEY, add=_MONEY),
    "deals.Deal": _OPERATED,
    "deals.DealItem": _RECORD,
    "deals.DealHistory": _RECORD,
    "deals.InvoiceHistory": _RECORD,
    "deals.Bid": _OPERATED,
    "deals.Authorization": _OPERATED,
    "deals.Invoice": Page(change=_MONEY),
    "deals.CreditNote": Page(change=_MONEY),
    "deals.InvoiceMail": _RECORD,
    "crm.Contact": _OPERATED,
    "crm.Connection": _OPERATED,
    "crm.Portal": _RECORD,
    "crm.SyncAttempt": _RECORD,
    "crm.ContactImport": _OPERATED,
    "crm.SoldDeal": _OPERATED,
    "crm.Erasure": _OPERATED,
    "datafetch.Stream": _OPERATED,
    "datafetch.Run": _RECORD,
    "datafetch.Consumer": _OPERATED,
    "datafetch.SchemaVersion": _RECORD,
    "datafetch.Rejected": _RECORD,
    "webhooks.Endpoint": Page(change=_BUSINESS, own={"rotate_secret": _PEOPLE}),
    "webhooks.Delivery": _OPERATED,
    "webhooks.Attempt": _RECORD,
    "webhooks.Replay": _OPERATED,
    "accounts.Account": Page(change=_PEOPLE),
    "accounts.ApiKey": Page(add=_PEOPLE, change=_PEOPLE),
    "accounts.User": Page(view=_PEOPLE, add=_PEOPLE, change=_PEOPLE),
    "auth.Group": _CONFIDENTIAL,  # or whoever may change a role could take every right
    "axes.AccessAttempt": Page(view=_PEOPLE, change=_PEOPLE),
    "axes.AccessLog": _CONFIDENTIAL,
    "admin.LogEntry": _CONFIDENTIAL,
    "events.Event": _RECORD,
    "events.Channel": _RECORD,
    "events.Consumer": _HOUSEHOLD,
    "common.JobRun": _HOUSEHOLD,
    "common.BulkAction": Page(change=(Role.OPERATOR, Role.FINANCE, Role.ADMINISTRATOR)),
    "common.Message": Page(change=_BUSINESS),
}


def permissions_of(role: Role) -> Iterator[str]:
    """What the table grants a role, as `app.codename`."""
    for label, page in PAGES.items():
        app, _, model = label.lower().partition(".")
        rights = {"view": page.view, "add": page.add, "change": page.change}
        named = {f"{right}_{model}": roles for right, roles in rights.items()} | page.own
        yield from (f"{app}.{codename}" for codename, roles in named.items() if role in roles)


@transaction.atomic
def establish_roles() -> None:
    """Make the groups have what the table says and nothing else; it changes nothing that is so already.

    Permissions are made first: Django does that after migrations, where a process may have died.
    """
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0)
    known = {
        f"{app}.{codename}": pk
        for pk, app, codename in Permission.objects.values_list(
            "pk", "content_type__app_label", "codename"
        )
    }
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role.value)
        group.permissions.set([known[name] for name in permissions_of(role)])
