"""Endpoints and their secrets."""

import functools
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request

from apps.common.api.conditional import etag, if_match, not_modified
from apps.common.api.idempotency import answered_first, idempotent
from apps.common.api.openapi import refusal
from apps.common.api.pagination import PageQuery, keyset_page
from apps.common.api.responses import Json, NoContent
from apps.common.api.serializers import NoBody, parse_body, parse_query
from apps.common.api.views import ApiView
from apps.common.outgoing import guard
from apps.common.schemas import page
from apps.webhooks import selectors, services
from apps.webhooks.api.representations import (
    DELIVERY,
    ENDPOINT_WITH_SECRET,
    delivery_object,
    endpoint_with_secret,
)
from apps.webhooks.api.serializers import (
    SecretRotation,
    WebhookEndpointInput,
)
from apps.webhooks.errors import (
    AddressNotAllowed,
    EndpointDisabled,
    EndpointNotFound,
    TooManyEndpoints,
    TooManySecrets,
)
from apps.webhooks.events import ENDPOINT, endpoint_object
from apps.webhooks.models import Endpoint

HOW_IT_IS_SENT = """
Events are sent as they happen, each as a POST of `application/json` signed as in
[Standard Webhooks 1.0](https://www.standardwebhooks.com): the headers `webhook-id` (the event's id, the
same for every attempt), `webhook-timestamp` and `webhook-signature` (`v1,` and the base64 of HMAC-SHA256
over `id.timestamp.body`; several, separated by spaces, while a rotated secret is in its grace time). The
key is what follows `whsec_` in the secret, base64-decoded. The body is
`{"id","type","version","timestamp","account_id","data": {"object": {…}, "changes"?: {…}}}`;
`GET /event-types` has the JSON Schema of each type. What is sent again because you asked has the header
`webhook-replay`.

Answer with any 2xx within 15 seconds. Redirects are not followed. `410` disables the endpoint. Everything
else is tried again after 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each up to a tenth
later; `Retry-After` on 429 and 503 is waited for when it is longer, up to 10 h. After that the delivery has
`failed`. Your answer may carry `webhook-delivery: retry=false`, which makes it the last attempt, or
`webhook-delivery: pause=SECONDS`, which holds back all that the endpoint is owed, up to 10 h.

At most 5 requests are under way to one endpoint, and no more in a second than its `rate_limit`. While most
of them fail, it is sent one request now and then until one succeeds, and its `status` is `failing`; after
5 days without one success it is `disabled`. Delivery is at least once: remember the `webhook-id`s you have
handled. It is in no particular order, unless the endpoint is `ordered`: then the events of one subject
come one after the other.
""".strip()

HOW_TO_LISTEN = """
To see it work on one machine (`make run` allows its own addresses), listen at the example's URL, register
it, and place an order or post a deal:

```sh
python3 -c '
from http.server import *
class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()
HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()'
```
""".strip()

_HERE = OpenApiExample(
    "A program on this machine",
    value={
        "url": "http://127.0.0.1:9000/hooks",
        "event_types": ["order.*", "deal.*"],
        "description": "To try it out",
    },
    request_only=True,
)
_OTHER_TYPES = OpenApiExample(
    "Other types", value={"event_types": ["order.*", "product.stock_low"]}, request_only=True
)
_AN_HOUR = OpenApiExample("An hour", value={"grace_seconds": 3600}, request_only=True)
_FULL = refusal(
    "Too many endpoints",
    TooManyEndpoints(
        f"An account has at most {services.MAX_ENDPOINTS:,} webhook endpoints. Delete one, or let one "
        "endpoint take more event types."
    ),
)
_TOO_MANY = refusal(
    "Too many at once",
    TooManySecrets(
        f"{services.MAX_RETIRED_SECRETS} earlier secrets are still in their grace time. Wait for one to "
        "end, or send a shorter grace_seconds."
    ),
)
DISABLED = refusal(
    "A disabled endpoint", EndpointDisabled("The endpoint is disabled. Enable it first.")
)
NO_ENDPOINT = EndpointNotFound("There is no such endpoint.")

Handler = Callable[..., HttpResponse]


def vetting_url(handler: Handler) -> Handler:
    """Decorates `post`, above `@idempotent`: looks at the URL's addresses before any transaction is open,
    for that asks DNS and may take 2 s."""

    @functools.wraps(handler)
    def post(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        _vet(parse_body(WebhookEndpointInput, request))
        return handler(view, request, *args, **kwargs)

    return post


def _vet(body: Mapping[str, Any]) -> None:
    """Raise AddressNotAllowed when the body's URL leads to a refused address just now."""
    if "url" not in body:
        return
    try:
        guard.vet(guard.parse(body["url"]))
    except guard.AddressRefused as error:
        raise AddressNotAllowed.at_url() from error


@extend_schema(tags=["Webhooks"])
class EndpointsView(ApiView):
    """The endpoints of the caller's account."""

    scope = "webhooks"
    secret_fields = ("secret",)

    @extend_schema(
        operation_id="list_webhook_endpoints",
        summary="List webhook endpoints",
        parameters=[PageQuery],
        responses={200: page(ENDPOINT)},
    )
    def get(self, request: Request) -> HttpResponse:
        query = parse_query(PageQuery, request)
        rows = selectors.endpoints(self.principal.account_id)
        return keyset_page(request, rows, endpoint_object, query)

    @extend_schema(
        operation_id="create_webhook_endpoint",
        summary="Register a webhook endpoint",
        description=(
            f"The answer shows the signing secret, this once.\n\n{HOW_TO_LISTEN}\n\n{HOW_IT_IS_SENT}"
        ),
        request=WebhookEndpointInput,
        examples=[_HERE, _FULL],
        responses={201: ENDPOINT_WITH_SECRET},
    )
    @answered_first
    @vetting_url
    @idempotent
    def post(self, request: Request) -> HttpResponse:
        body = parse_body(WebhookEndpointInput, request)
        made = services.create_endpoint(account_id=self.principal.account_id, **body)
        return Json(endpoint_with_secret(made), status=201, headers=_tag(made.endpoint))


@extend_schema(tags=["Webhooks"])
class EndpointView(ApiView):
    """One endpoint."""

    scope = "webhooks"
    not_found = NO_ENDPOINT

    @extend_schema(
        operation_id="get_webhook_endpoint",
        summary="Get a webhook endpoint",
        responses={200: ENDPOINT},
    )
    def get(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        endpoint = selectors.endpoint(self.principal.account_id, endpoint_id)
        return not_modified(request, etag(endpoint.version)) or _endpoint(endpoint)

    @extend_schema(
        operation_id="update_webhook_endpoint",
        summary="Change a webhook endpoint",
        description="Each attempt from now on, also of deliveries made before, goes to the new URL.",
        request=WebhookEndpointInput,
        examples=[_OTHER_TYPES],
        responses={200: ENDPOINT},
    )
    def patch(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        current = selectors.endpoint(self.principal.account_id, endpoint_id)
        changes = parse_body(
            WebhookEndpointInput, request, current=endpoint_object(current), partial=True
        )
        if changes.get("url", current.url) != current.url:
            _vet(changes)
        endpoint = services.update_endpoint(
            account_id=current.account_id,
            endpoint_id=endpoint_id,
            changes=changes,
            expected=if_match(request),
        )
        return _endpoint(endpoint)

    @extend_schema(
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        description="What it is still owed is canceled.",
        responses={204: None},
    )
    def delete(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        services.delete_endpoint(
            account_id=self.principal.account_id,
            endpoint_id=endpoint_id,
            expected=if_match(request),
        )
        return NoContent()


@extend_schema(tags=["Webhooks"])
class RotateSecretView(ApiView):
    """A new secret."""

    scope = "webhooks"
    not_found = NO_ENDPOINT
    secret_fields = ("secret",)

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Rotate the signing secret",
        description=(
            "The new secret is in force at once. During the grace time each request carries a signature "
            "of every secret, so that you can change yours without missing one. `grace_seconds: 0` ends "
            "all earlier secrets now."
        ),
        request=SecretRotation,
        examples=[_AN_HOUR, _TOO_MANY],
        responses={200: ENDPOINT_WITH_SECRET},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        body = parse_body(SecretRotation, request)
        rotated = services.rotate_secret(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, **body
        )
        return Json(endpoint_with_secret(rotated), headers=_tag(rotated.endpoint))


@extend_schema(tags=["Webhooks"])
class EnableView(ApiView):
    """Enabling what was disabled."""

    scope = "webhooks"
    not_found = NO_ENDPOINT

    @extend_schema(
        operation_id="enable_webhook_endpoint",
        summary="Enable a webhook endpoint",
        description=(
            "Whether it was disabled or failing: what was parked with it is sent, with the retry schedule "
            "from its start, and nothing is held against it any more. Enabling an enabled one sends at "
            "once what a pause or the circuit breaker held back, and changes nothing else."
        ),
        request=NoBody,
        responses={200: ENDPOINT},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        return _endpoint(
            services.enable_endpoint(
                account_id=self.principal.account_id, endpoint_id=endpoint_id, actor=self.actor
            )
        )


@extend_schema(tags=["Webhooks"])
class EndpointTestView(ApiView):
    """A test event."""

    scope = "webhooks"
    not_found = NO_ENDPOINT

    @extend_schema(
        operation_id="test_webhook_endpoint",
        summary="Send a test event",
        description=(
            "Owes the endpoint, and no other, a signed `webhook_endpoint.test` event, whatever its "
            "`event_types` say. `GET /deliveries/{id}` tells what became of it."
        ),
        request=NoBody,
        examples=[DISABLED],
        responses={202: DELIVERY},
    )
    @idempotent
    def post(self, request: Request, endpoint_id: UUID) -> HttpResponse:
        parse_body(NoBody, request)
        delivery = services.send_test(
            account_id=self.principal.account_id, endpoint_id=endpoint_id, actor=self.actor
        )
        return Json(delivery_object(delivery), status=202)


def _tag(endpoint: Endpoint) -> dict[str, str]:
    return {"ETag": etag(endpoint.version)}


def _endpoint(endpoint: Endpoint) -> Json:
    return Json(endpoint_object(endpoint), headers=_tag(endpoint))
