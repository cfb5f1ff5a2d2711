"""Fixtures of the whole suite. Real PostgreSQL, real Valkey, real sockets; nothing of ours is mocked.

Run it with `make test`, or one folder with
`.venv/bin/python -m deploy.local exec --throwaway -- .venv/bin/python -m pytest tests/common -q`.
A test that starts threads, or wants what happens on commit to happen, is marked
`@pytest.mark.django_db(transaction=True)`; the others run in a transaction that is rolled back.
"""

import fcntl
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
from django.conf import settings

from apps.accounts.enums import ROOMS
from apps.accounts.models import Account
from apps.accounts.services import IssuedKey, issue_key
from apps.common.garbage import spare_what_is_loaded
from tests.support import ApiClient, Receiver
from tests.support.emptying import empty_instead_of_truncating
from tests.support.installation import Installation
from tests.support.isolation import forget_everything, own_sender
from tests.support.outages import be_patient

EVERYTHING = tuple(f"{room}:write" for room in ROOMS)
_numbers = itertools.count(1)

# The same examples in every run, so that a red test is about the change at hand; new ones are looked for
# with `--hypothesis-profile=searching`.
hypothesis.settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile(
    "searching", hypothesis.settings.get_profile("repeatable"), derandomize=False, max_examples=2000
)
hypothesis.settings.load_profile("repeatable")


def pytest_configure() -> None:
    """Refuse to share a Redis database; settings that only matter to people are the quick ones."""
    if "tests.environment" not in sys.modules:
        raise pytest.UsageError("Add `-p tests.environment`, as pyproject.toml does.")
    be_patient()
    empty_instead_of_truncating()
    settings.STATIC_ROOT = None
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    # People's passwords are hashed slowly on purpose, which teaches a test nothing.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow ones first, so that no process is left with one when the others have nothing more to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """As workers do: what thousands of tests are made of need not be looked at in each collection."""
    spare_what_is_loaded()


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> Iterator[None]:
    """Nothing that an earlier test left in Redis or in this process's memory is there."""
    if "transactional_db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")  # emptied afterwards: the sender has recorded all it will
    forget_everything()
    with own_sender():
        yield


class MakeAccount(Protocol):
    def __call__(self, slug: str = "", **fields: Any) -> Account: ...


@pytest.fixture
def make_account(db: None) -> MakeAccount:
    """Makes accounts: `make_account()`, `make_account("seller", tax_rate=19)`."""

    def make(slug: str = "", **fields: Any) -> Account:
        slug = slug or f"account-{next(_numbers)}"
        account = Account.objects.create(slug=slug, **{"name": slug.title(), **fields})
        account.refresh_from_db()
        return account

    return make


class MakeKey(Protocol):
    def __call__(
        self, *scopes: str, account: Account | None = None, **options: Any
    ) -> IssuedKey: ...


@pytest.fixture
def make_key(make_account: MakeAccount) -> MakeKey:
    """Issues keys: `make_key("orders:read", account=shop, rate_limit=5)`; all scopes by default."""

    def make(*scopes: str, account: Account | None = None, **options: Any) -> IssuedKey:
        owner = account or make_account()
        options = {"name": "test", "rate_limit": 1_000_000, **options}
        return issue_key(account_id=owner.id, scopes=scopes or EVERYTHING, **options)

    return make


class MakeClient(Protocol):
    def __call__(
        self, *scopes: str, account: Account | None = None, **options: Any
    ) -> ApiClient: ...


@pytest.fixture
def api(make_key: MakeKey) -> MakeClient:
    """Makes API clients, each with a key of its own (and an account of its own unless one is given):
    `api()`, `api("orders:read")`, `api("bids:write", account=buyer)`."""

    def make(*scopes: str, account: Account | None = None, **options: Any) -> ApiClient:
        issued = make_key(*scopes, account=account, **options)
        return ApiClient(issued.record.account, issued.record, issued.plain)

    return make


@pytest.fixture
def someone(api: MakeClient) -> ApiClient:
    """A client that may do everything, where it does not matter who it is."""
    return api()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A customer's web server, fresh for this test."""
    with Receiver() as started:
        yield started


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The DATA_DIR of a whole Tradepost that was started and stopped, to be copied: the next start takes half
    as long. The processes of a test run share it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "prepared"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            one = Installation(folder / "data")
            one.start()
            one.stop()
            (folder / "ready").touch()
    return folder / "data"
