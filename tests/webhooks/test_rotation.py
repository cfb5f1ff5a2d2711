"""Requests while a secret is rotated."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now
from standardwebhooks import Webhook, WebhookVerificationError

from apps.webhooks import services
from apps.webhooks.models import Endpoint, RetiredSecret
from tests.support import Receiver
from tests.webhooks.conftest import MakeEndpoint, PublishEvent
from tests.webhooks.situations import headers_of

pytestmark = pytest.mark.django_db(transaction=True)

Send = Callable[[], None]


def test_during_the_grace_time_both_secrets_verify(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    old = str(endpoint.secret)
    publish_event(endpoint.account)
    send()  # so that this process remembers the old keyring

    new = services.rotate_secret(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, grace_seconds=3600
    ).secret
    publish_event(endpoint.account)
    send()

    request = receiver.wait_for(2)[1]
    assert len(request.headers["webhook-signature"].split()) == 2
    for secret in (old, new):
        assert Webhook(secret).verify(request.body, headers_of(request))

    RetiredSecret.objects.update(expires_at=Now() - timedelta(seconds=1))
    Endpoint.objects.update(version=F("version") + 1)  # another process remembers nothing
    publish_event(endpoint.account)
    send()

    request = receiver.wait_for(3)[2]
    assert Webhook(new).verify(request.body, headers_of(request))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(request.body, headers_of(request))


def test_without_grace_the_old_secret_ends_at_once(
    make_endpoint: MakeEndpoint, publish_event: PublishEvent, receiver: Receiver, send: Send
) -> None:
    endpoint = make_endpoint(receiver.url())
    new = services.rotate_secret(
        account_id=endpoint.account_id, endpoint_id=endpoint.id, grace_seconds=0
    ).secret
    publish_event(endpoint.account)

    send()

    [request] = receiver.wait_for(1)
    assert len(request.headers["webhook-signature"].split()) == 1
    assert Webhook(new).verify(request.body, headers_of(request))
