"""Every secret comes under the newest key, and then opens without the older one."""

import io
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from apps.backoffice.reencryption import BATCH
from apps.common import encryption
from apps.datafetch.models import Progress, Stream
from apps.webhooks.models import Endpoint
from tests.support import ApiClient, Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def usual_keys() -> Iterator[list[str]]:
    usual = list(settings.ENCRYPTION_KEYS)
    yield usual
    use(*usual)


def use(*keys: str) -> None:
    settings.ENCRYPTION_KEYS = list(keys)
    encryption._ring.cache_clear()


def reencrypt() -> str:
    said = io.StringIO()
    call_command("reencrypt", stdout=said)
    return said.getvalue()


def test_the_old_key_is_not_needed_afterwards(
    someone: ApiClient, receiver: Receiver, usual_keys: list[str]
) -> None:
    url = receiver.url("/")
    secret = someone.post("/api/v1/webhook-endpoints", {"url": url, "event_types": ["*"]}).json()[
        "secret"
    ]
    auth = {"type": "bearer", "token": "a secret token"}
    someone.post("/api/v1/streams", {"name": "x", "url": url, "auth": auth})
    Progress.objects.update(token="an access token", position=None)
    new = Fernet.generate_key().decode()
    use(new, *usual_keys)

    said = reencrypt()
    again = reencrypt()

    use(new)
    assert Endpoint.objects.get().secret == secret
    assert "a secret token" in (Stream.objects.get().secrets or "")
    assert Progress.objects.get().token == "an access token"
    assert "datafetch_stream.secrets: 1 encrypted anew" in said
    assert "webhooks_endpoint.secret: 1 encrypted anew" in said
    assert "datafetch_progress.position: 0 encrypted anew" in said
    assert "1 encrypted anew" not in again


def test_more_than_a_batch(someone: ApiClient, usual_keys: list[str]) -> None:
    account = someone.account
    n = BATCH * 2 + 1
    Endpoint.objects.bulk_create(
        Endpoint(account=account, url="http://127.0.0.1/", event_types=["*"], secret=str(number))
        for number in range(n)
    )
    new = Fernet.generate_key().decode()
    use(new, *usual_keys)

    assert f"webhooks_endpoint.secret: {n} encrypted anew" in reencrypt()

    use(new)
    assert {endpoint.secret for endpoint in Endpoint.objects.all()} == set(map(str, range(n)))


def test_what_no_key_opens_is_counted_and_left(
    someone: ApiClient, receiver: Receiver, usual_keys: list[str]
) -> None:
    someone.post("/api/v1/webhook-endpoints", {"url": receiver.url("/"), "event_types": ["*"]})
    before = raw()
    use(Fernet.generate_key().decode())

    with pytest.raises(CommandError, match="1 values cannot be opened"):
        reencrypt()

    assert raw() == before


def raw() -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM webhooks_endpoint")
        return bytes(cursor.fetchone()[0])
