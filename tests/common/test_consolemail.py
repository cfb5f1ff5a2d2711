"""What a developer reads in the worker's log instead of getting mail."""

from typing import Any

import pytest
from django.core.mail import EmailMessage

BACKEND = "apps.common.consolemail.EmailBackend"


@pytest.fixture(autouse=True)
def on_the_console(settings: Any) -> None:
    settings.EMAIL_BACKEND = BACKEND


def test_a_message_is_printed_and_its_files_are_told_in_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mail = EmailMessage(
        "Invoice 1", "Dear Käufer,\nplease pay.", "s@example.com", ["b@example.com"]
    )
    mail.attach("invoice-1.pdf", b"%PDF-1.4 \xff" + b"\0" * 90_000, "application/pdf")

    assert mail.send() == 1

    printed = capsys.readouterr().out
    assert "Subject: Invoice 1\n" in printed
    assert "To: b@example.com\n" in printed
    assert "Dear Käufer,\nplease pay.\n" in printed
    assert "[invoice-1.pdf, application/pdf, 90010 bytes]" in printed
    assert len(printed) < 1_000
