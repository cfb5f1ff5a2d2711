"""Where HubSpot tells what changed there. Not behind an API key: HubSpot signs what it sends."""

import time
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.common.api.responses import NoContent
from apps.common.api.views import ApiView
from apps.common.errors import Invalid
from apps.crm import signing
from apps.crm.hubspot.notices import notices_of
from apps.crm.services import inbound


@extend_schema(exclude=True)  # HubSpot's format, for HubSpot alone
class HubSpotWebhooksView(ApiView):
    """HubSpot's webhooks, kept and answered at once: it waits for five seconds and repeats for a day."""

    authentication_classes = ()

    def post(self, request: Request) -> HttpResponse:
        body = request._request.body  # the bytes that were signed
        if not _is_from_hubspot(request, body):
            raise AuthenticationFailed(
                "Not signed by HubSpot (X-HubSpot-Signature-v3) within the last five minutes.",
                code="invalid_signature",
            )
        try:
            told = notices_of(body)
        except ValueError as error:
            raise Invalid(f"This is not what HubSpot sends: {error}.") from None
        inbound.receive(told=told)
        return NoContent()

    def get_authenticate_header(self, request: Request) -> Any:
        return "HubSpot-Signature-v3"


def _is_from_hubspot(request: Request, body: bytes) -> bool:
    """Signed for this address as the world knows it, or as it was called where that is not configured."""
    claimed = request.headers.get("X-HubSpot-Signature-v3", "")
    timestamp = request.headers.get("X-HubSpot-Request-Timestamp", "")
    secret = settings.HUBSPOT_CLIENT_SECRET
    if not secret or not signing.is_timely(timestamp, time.time_ns() // 1_000_000):
        return False
    path = request.get_full_path()
    called = request.build_absolute_uri()
    return any(
        signing.is_genuine(
            claimed, secret=secret, method="POST", uri=uri, body=body, timestamp=timestamp
        )
        for uri in (settings.BASE_URL.rstrip("/") + path, called)
    )
