"""E-mail as owed work: a service owes a message in its transaction, the job `common.mail` sends it.

Sending is at least once: a worker that dies between the server's acceptance and the record of it sends
the message again, under the same Message-ID, which mail programs show once.
"""

import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.common.leases import claim, settle
from apps.common.models import Message, MessageAttachment
from apps.common.wakeups import wake_on_commit

JOB = "common.mail"
BATCH = 20
LEASE_SECONDS = 300.0
KEPT_DAYS = 30
# Seconds from a failed try to the next; after the last of them the message has failed.
RETRY_SECONDS = (30, 300, 1800, 7200, 21600, 43200, 86400)
# Claims without any recorded outcome, after which the message itself must be what ends its workers.
MAX_CLAIMS = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message; `content` in bytes."""

    name: str
    media_type: str
    content: bytes


def owe(*, to: str, subject: str, text: str, attachments: Sequence[Attachment] = ()) -> None:
    """Owe a message to one address, in the transaction of the change that it tells of.

    Raises RuntimeError outside a transaction. Line breaks in `subject` become spaces, since a header
    has none.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("owe() must be called in the transaction of the change.")
    message = Message.objects.create(
        to=to, subject=" ".join(subject.split())[:200], text=text, due_at=Now()
    )
    MessageAttachment.objects.bulk_create(
        MessageAttachment(
            message=message, name=one.name, media_type=one.media_type, content=one.content
        )
        for one in attachments
    )
    wake_on_commit(JOB)


@transaction.atomic
def owe_again(messages: "QuerySet[Message]") -> int:
    """Owe messages anew that were sent or given up; returns how many these were."""
    ended = messages.filter(due_at=None)
    count = ended.update(due_at=Now(), sent_at=None, failures=0, error="")
    wake_on_commit(JOB)
    return count


def send_some() -> bool:
    """Send up to 20 messages that are due; True when there may be more.

    One connection to the mail server serves them all. A refusal of one message does not stop the others.
    """
    claimed = claim(Message.objects.all(), limit=BATCH, lease_seconds=LEASE_SECONDS)
    if not claimed:
        return False
    files = _attachments_of(claimed)
    server = get_connection(timeout=settings.EMAIL_TIMEOUT)
    try:
        for message in claimed:
            _send(server, message, files.get(message.pk, []))
    finally:
        _close(server)
    return len(claimed) == BATCH


def trim() -> None:
    """Forget messages that were sent, or given up, more than 30 days ago."""
    long_ago = Now() - timedelta(days=KEPT_DAYS)
    Message.objects.filter(due_at=None, created_at__lt=long_ago).delete()


def _attachments_of(messages: Sequence[Message]) -> "dict[Any, list[MessageAttachment]]":
    found: dict[Any, list[MessageAttachment]] = {}
    for one in MessageAttachment.objects.filter(message__in=messages).order_by("id"):
        found.setdefault(one.message_id, []).append(one)
    return found


def _send(server: Any, message: Message, files: Sequence[MessageAttachment]) -> None:
    sender = settings.DEFAULT_FROM_EMAIL
    domain = parseaddr(sender)[1].rpartition("@")[2]
    mail = EmailMessage(
        subject=message.subject,
        body=message.text,
        from_email=sender,
        to=[message.to],
        headers={"Message-ID": f"<{message.pk}@{domain}>", "Auto-Submitted": "auto-generated"},
        connection=server,
        attachments=[(one.name, bytes(one.content), one.media_type) for one in files],
    )
    try:
        server.open()  # or it stays open: opened by send() itself, it would serve one message
        mail.send()
    except Exception as error:  # whatever a mail server or an address can cause is recorded
        _close(server)  # what is half said on this connection is not a place to go on from
        _failed(message, error)
    else:
        _settled(message, due_at=None, sent_at=Now(), error="")


def _failed(message: Message, error: Exception) -> None:
    """Due again after a while; or never, when the server says that it never will take it."""
    number = message.failures + 1
    last = number > len(RETRY_SECONDS) or message.claims >= MAX_CLAIMS or _is_permanent(error)
    log.warning("mail_failed", message=str(message.pk), error=_cause(error), given_up=last)
    due_at = None if last else Now() + timedelta(seconds=RETRY_SECONDS[number - 1])
    _settled(message, due_at=due_at, failures=number, error=_cause(error))


def _settled(message: Message, **outcome: Any) -> None:
    if message.lease_id is None or not settle(Message, message.pk, message.lease_id, **outcome):
        log.warning("mail_lease_lost", message=str(message.pk))


def _is_permanent(error: Exception) -> bool:
    """A reply of 5xx about this message (RFC 5321, 4.2.1); trouble with signing in is the operator's."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    about_it = (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)
    return isinstance(error, about_it) and error.smtp_code >= 500


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\0", "")[:500]


def _close(server: Any) -> None:
    try:
        server.close()
    except Exception as error:
        log.info("mail_close_failed", error=_cause(error))
