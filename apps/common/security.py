"""What browsers are told they may do with our pages, and whom a request comes from."""

import secrets
from collections.abc import Callable
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]

_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class PagePolicyMiddleware:
    """A Content-Security-Policy on every HTML page; a script within a page carries `request.csp_nonce`.

    Styles may stand within pages, which unfold, Swagger and ReDoc need. Alpine, of which unfold is made,
    evaluates the expressions in its attributes: that is allowed under /admin/ alone.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        nonce = secrets.token_urlsafe(16)
        request.csp_nonce = nonce  # type: ignore[attr-defined]  # for templates
        response = self.get_response(request)
        if response.get("Content-Type", "").startswith("text/html"):
            evaluating = request.path.startswith("/admin/")
            response.setdefault("Content-Security-Policy", _policy(nonce, evaluating=evaluating))
            response.setdefault("Permissions-Policy", _PERMISSIONS)
        return response


def _policy(nonce: str, *, evaluating: bool) -> str:
    scripts = f"script-src 'self' 'nonce-{nonce}'"
    return "; ".join(
        (
            "default-src 'self'",
            f"{scripts} 'unsafe-eval'" if evaluating else scripts,
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "worker-src 'self' blob:",  # ReDoc searches in one
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def client_address(request: HttpRequest) -> str | None:
    """The address that the first of our own proxies was asked from; None where there is none.

    Each of the TRUSTED_PROXIES adds the address that it saw at the end of X-Forwarded-For; what stands
    before those was written by the client, and is not believed.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    proxies = settings.TRUSTED_PROXIES
    told = [forwarded[-proxies].strip()] if 0 < proxies <= len(forwarded) else []
    for candidate in (*told, request.META.get("REMOTE_ADDR", "")):
        try:
            # The zone of a link-local address (`fe80::1%eth0`) is ours, and no column takes it.
            return str(ip_address(candidate.partition("%")[0]))
        except ValueError:
            continue
    return None
