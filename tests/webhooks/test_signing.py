"""Signatures as Standard Webhooks defines them."""

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from apps.webhooks.signing import KEY_BYTES, key_of, new_secret, signature


def test_the_reference_vector_is_met() -> None:
    key = key_of("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    signed = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_random_and_of_the_right_form() -> None:
    first, second = new_secret(), new_secret()

    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == KEY_BYTES


@given(st.binary(max_size=300))
def test_the_public_library_verifies_what_we_sign(body: bytes) -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    body = b'{"x":"' + base64.b64encode(body) + b'"}'
    headers = {
        "webhook-id": "abc",
        "webhook-timestamp": str(now),
        "webhook-signature": signature([key_of(secret)], "abc", now, body),
    }

    assert Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + b" ", headers)


def test_two_keys_make_two_signatures_that_each_verify() -> None:
    old, new = new_secret(), new_secret()
    now = int(datetime.now(UTC).timestamp())
    signed = signature([key_of(new), key_of(old)], "abc", now, b"{}")

    assert len(signed.split(" ")) == 2
    for secret in (old, new):
        headers = {"webhook-id": "abc", "webhook-timestamp": str(now), "webhook-signature": signed}
        assert Webhook(secret).verify(b"{}", headers) == {}
