"""What can go wrong with endpoints and deliveries."""

from typing import Self

from apps.common.errors import Conflict, Fault, Invalid, NotFound


class EndpointNotFound(NotFound):
    code = "webhook_endpoint_not_found"


class DeliveryNotFound(NotFound):
    code = "delivery_not_found"


class ReplayNotFound(NotFound):
    code = "replay_not_found"


class ReplayInProgress(Conflict):
    """One at a time for each endpoint."""

    code = "replay_in_progress"


class ReplayEnded(Conflict):
    code = "replay_ended"


class SpanIsEmpty(Invalid):
    """There is no time between the two ends of a replay."""

    code = "empty_span"

    @classmethod
    def at_since(cls) -> Self:
        """The error, pointing at `since`."""
        detail = (
            "There is nothing to replay between since and until: since must be before until and in the "
            "past, and events are kept for 30 days."
        )
        return cls(detail, faults=[Fault("/since", cls.code, detail)])


class AddressNotAllowed(Invalid):
    """The URL leads to an address that is not public."""

    code = "address_not_allowed"

    @classmethod
    def at_url(cls) -> Self:
        """The error, pointing at `url`. It is the same for every cause, so as to give nothing away."""
        detail = "The URL leads to an address that is not allowed: it must be a public one."
        return cls(detail, faults=[Fault("/url", cls.code, detail)])


class EndpointDisabled(Conflict):
    code = "endpoint_disabled"


class EndpointDeleted(Conflict):
    code = "endpoint_deleted"


class TooManyEndpoints(Conflict):
    code = "too_many_webhook_endpoints"


class TooManySecrets(Conflict):
    """So many rotations overlap that the signature header would grow too long."""

    code = "too_many_secrets"
