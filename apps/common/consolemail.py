"""E-mail for developers: printed where the worker logs, a line for each file instead of its content."""

from email.message import Message
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends import console


class EmailBackend(console.EmailBackend):
    """Django's own console backend, but for attachments."""

    def write_message(self, message: EmailMessage) -> None:
        mail: Any = message.message()
        headers = [f"{name}: {value}" for name, value in mail.items() if name != "MIME-Version"]
        files = [_summary(part) for part in mail.walk() if part.get_filename()]
        self.stream.write("\n".join([*headers, "", str(message.body), *files, "-" * 79, ""]))


def _summary(part: "Message[Any, Any]") -> str:
    content = part.get_payload(decode=True)
    size = len(content) if isinstance(content, bytes) else 0
    return f"[{part.get_filename()}, {part.get_content_type()}, {size} bytes]"
