"""What can go wrong with deals, authorisations, bids and invoices."""

from apps.common.errors import Conflict, NotFound


class DealNotFound(NotFound):
    code = "deal_not_found"


class DealClosed(Conflict):
    """A sold or withdrawn deal stays as it is."""

    code = "deal_closed"


class InvalidTransition(Conflict):
    """The table of transitions does not let this actor make this change of status."""

    code = "invalid_transition"


class AuthorizationNotFound(NotFound):
    code = "authorization_not_found"


class BidNotFound(NotFound):
    code = "bid_not_found"


class BidNotActive(Conflict):
    """The bid has been answered, replaced or taken back, or has expired."""

    code = "bid_not_active"


class BidTooLow(Conflict):
    """The auction asks for more by now; the answer says how much."""

    code = "bid_too_low"


class OwnDeal(Conflict):
    """Nobody bids on a deal of its own."""

    code = "own_deal"


class DealHasBids(Conflict):
    """While there are bids, this part of the deal stays as it is."""

    code = "deal_has_bids"


class AuctionRunning(Conflict):
    """An auction goes by its rules until it ends."""

    code = "auction_running"


class AuctionEnded(Conflict):
    """The time of the auction is over."""

    code = "auction_ended"


class InvoiceNotFound(NotFound):
    code = "invoice_not_found"


class InvoiceClosed(Conflict):
    """A paid or void invoice stays as it is."""

    code = "invoice_closed"


class CreditNoteNotFound(NotFound):
    code = "credit_note_not_found"
