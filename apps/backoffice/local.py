"""Whether a request comes from this very machine."""

import ipaddress
from typing import Any

from django.http import HttpRequest


def is_local(request: HttpRequest) -> bool:
    """Directly from this machine; what a proxy forwards comes from who knows where."""
    meta: dict[str, Any] = request.META
    if "HTTP_X_FORWARDED_FOR" in meta or "HTTP_FORWARDED" in meta:
        return False
    try:
        return ipaddress.ip_address(meta.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False
