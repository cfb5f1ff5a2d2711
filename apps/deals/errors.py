"""What can go wrong with deals, authorisations and invoices."""

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


class InvoiceNotFound(NotFound):
    code = "invoice_not_found"


class InvoiceClosed(Conflict):
    """A paid or void invoice stays as it is."""

    code = "invoice_closed"


class CreditNoteNotFound(NotFound):
    code = "credit_note_not_found"
