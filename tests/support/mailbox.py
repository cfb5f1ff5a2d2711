"""A real mail server, for what we send by e-mail."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.test import override_settings


class Mailbox:
    """What arrived; addresses in `refusals` are answered with their reply instead."""

    def __init__(self) -> None:
        self.arrived: list[EmailMessage] = []
        self.refusals: dict[str, str] = {}

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = cast(bytes, envelope.content)
        self.arrived.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"


class _Server(Controller):
    def _trigger_server(self) -> None:
        """aiosmtpd connects once to see whether it serves: to the port that it got, not to 0."""
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd has no hints here


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    """A mailbox that takes whatever the settings send while the block runs."""
    mailbox = Mailbox()
    server = _Server(mailbox, hostname="127.0.0.1", port=0)
    server.start()
    backend = "django.core.mail.backends.smtp.EmailBackend"
    try:
        with override_settings(
            EMAIL_BACKEND=backend, EMAIL_HOST="127.0.0.1", EMAIL_PORT=server.port
        ):
            yield mailbox
    finally:
        server.stop()
