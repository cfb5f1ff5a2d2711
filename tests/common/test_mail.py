"""E-mail that is owed: sent through a real SMTP server, again when it refuses, never lost, never for ever."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import override_settings

from apps.common import mail
from apps.common.leases import reconcile
from apps.common.models import Message
from tests.support import holding
from tests.support.mailbox import Mailbox, mail_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as served:
        yield served


def owe(to: str = "anna@example.com", **options: Any) -> None:
    with transaction.atomic():
        mail.owe(to=to, subject="Hello", text="Good morning.\n", **options)


def send() -> None:
    reconcile(mail.send_some)


def test_a_message_arrives_once_with_its_files(mailbox: Mailbox) -> None:
    owe(attachments=[mail.Attachment("invoice.pdf", "application/pdf", b"%PDF-1.7 \xff\x00")])

    send()
    send()

    (arrived,) = mailbox.arrived
    (file,) = arrived.iter_attachments()
    body = arrived.get_body()
    assert (arrived["to"], arrived["subject"]) == ("anna@example.com", "Hello")
    assert body is not None
    assert "Good morning." in body.get_content()
    assert (file.get_filename(), file.get_content_type()) == ("invoice.pdf", "application/pdf")
    assert file.get_content() == b"%PDF-1.7 \xff\x00"
    row = Message.objects.get()
    assert row.sent_at is not None
    assert arrived["message-id"] == f"<{row.pk}@localhost>"


def test_a_message_of_a_lost_transaction_is_not_sent(mailbox: Mailbox) -> None:
    with transaction.atomic():
        mail.owe(to="anna@example.com", subject="Hello", text="")
        transaction.set_rollback(True)

    send()

    assert mailbox.arrived == []


def test_owing_outside_a_transaction_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        mail.owe(to="anna@example.com", subject="Hello", text="")


def test_a_subject_cannot_smuggle_headers(mailbox: Mailbox) -> None:
    with transaction.atomic():
        mail.owe(to="anna@example.com", subject="Hello\r\nBcc: eve@example.com", text="")

    send()

    (arrived,) = mailbox.arrived
    assert arrived["bcc"] is None
    assert arrived["subject"] == "Hello Bcc: eve@example.com"


def test_a_refusal_for_now_is_tried_again_and_stops_nobody_else(mailbox: Mailbox) -> None:
    mailbox.refusals["busy@example.com"] = "450 mailbox busy"
    owe("busy@example.com")
    owe("anna@example.com")

    send()

    assert [arrived["to"] for arrived in mailbox.arrived] == ["anna@example.com"]
    waiting = Message.objects.get(to="busy@example.com", due_at__gt=Now())
    assert waiting.failures == 1
    assert "mailbox busy" in waiting.error

    mailbox.refusals.clear()
    Message.objects.filter(pk=waiting.pk).update(due_at=Now())
    send()

    assert [arrived["to"] for arrived in mailbox.arrived] == [
        "anna@example.com",
        "busy@example.com",
    ]
    waiting.refresh_from_db()
    assert (waiting.error, waiting.due_at) == ("", None)


def test_a_refusal_for_good_is_given_up_at_once(mailbox: Mailbox) -> None:
    mailbox.refusals["nobody@example.com"] = "550 no such user"
    owe("nobody@example.com")

    send()

    row = Message.objects.get()
    assert (row.due_at, row.sent_at) == (None, None)
    assert "no such user" in row.error


def test_without_a_mail_server_it_waits_and_in_the_end_gives_up() -> None:
    owe()
    nobody = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": 1}
    backend = "django.core.mail.backends.smtp.EmailBackend"
    for _ in mail.RETRY_SECONDS:
        with override_settings(EMAIL_BACKEND=backend, **nobody):
            send()
        assert Message.objects.filter(due_at__gt=Now(), sent_at=None).exists()
        Message.objects.update(due_at=Now())
    with override_settings(EMAIL_BACKEND=backend, **nobody):
        send()

    row = Message.objects.get()
    assert (row.due_at, row.sent_at, row.failures) == (None, None, len(mail.RETRY_SECONDS) + 1)


def test_a_message_that_another_worker_sends_is_left_alone(mailbox: Mailbox) -> None:
    owe()

    with holding("SELECT FROM common_message FOR UPDATE"):
        send()

    assert mailbox.arrived == []
    send()
    assert len(mailbox.arrived) == 1


def test_what_was_given_up_can_be_owed_again(mailbox: Mailbox) -> None:
    mailbox.refusals["anna@example.com"] = "550 no such user"
    owe()
    send()
    mailbox.refusals.clear()

    assert mail.owe_again(Message.objects.all()) == 1
    send()

    assert len(mailbox.arrived) == 1
    assert mail.owe_again(Message.objects.filter(due_at__gt=Now())) == 0


def test_what_was_done_long_ago_is_forgotten(mailbox: Mailbox) -> None:
    owe("old@example.com")
    owe("new@example.com")
    send()
    owe("owed@example.com")
    long_ago = Now() - timedelta(days=mail.KEPT_DAYS + 1)
    Message.objects.exclude(to="new@example.com").update(created_at=long_ago)

    mail.trim()

    left = Message.objects.order_by("id").values_list("to", flat=True)
    assert list(left) == ["new@example.com", "owed@example.com"]
