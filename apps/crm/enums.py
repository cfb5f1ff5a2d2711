"""The words of the CRM app."""

from django.db.models import TextChoices


class SyncState(TextChoices):
    """How far HubSpot is with a customer, as far as it concerns that customer alone."""

    PENDING = "pending"  # something of it is owed to HubSpot
    SYNCED = "synced"
    FAILED = "failed"  # HubSpot refused it; not tried again before it changes or somebody asks
    SKIPPED = "skipped"  # no such contact, and the account does not want one made


# What the API shows instead of `pending` while the account has no token.
NOT_CONFIGURED = "not_configured"


class MissingContact(TextChoices):
    """What becomes of a customer that HubSpot does not know."""

    CREATE = "create"
    SKIP = "skip"


class PortalStatus(TextChoices):
    """Whether HubSpot can be called with a token."""

    OK = "ok"
    UNAVAILABLE = "unavailable"  # network, 5xx, 423, 477
    THROTTLED = "throttled"  # 429 of the short limits
    PARKED = "parked"  # 429 of the daily limit
    PAUSED = "paused"  # 401 or 403: somebody must do something


class Call(TextChoices):
    """The calls of a sync, each for up to 100 customers or deals."""

    LOOKUP = "lookup"  # batch/read by e-mail
    UPSERT = "upsert"  # batch/upsert by e-mail
    UPDATE = "update"  # batch/update by contact id
    FIND_DEALS = "find_deals"  # batch/read by our unique property
    MAKE_DEALS = "make_deals"  # batch/create, with their contacts
    UPDATE_DEALS = "update_deals"  # batch/update by HubSpot's id


# Those that are about customers.
CONTACT_CALLS = (Call.LOOKUP, Call.UPSERT, Call.UPDATE)


class Outcome(TextChoices):
    """What a call meant for one customer."""

    FOUND = "found"
    SYNCED = "synced"
    UNCHANGED = "unchanged"  # found, with all that was to be sent
    SKIPPED = "skipped"
    MISSING = "missing"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    WAITING = "waiting"


class NoticeKind(TextChoices):
    """What HubSpot tells of a contact."""

    CHANGED = "changed"  # one property
    DELETED = "deleted"
    MERGED = "merged"


class NoticeOutcome(TextChoices):
    """What came of a notice here; empty while it waits."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"  # the customer has it already
    OLDER = "older"  # a newer value of the property is known
    LOCAL = "local"  # the customer's own value is on its way to HubSpot
    UNMAPPED = "unmapped"  # the property is none of ours
    REFUSED = "refused"  # a customer cannot have such a value
    UNKNOWN = "unknown"  # the contact is nobody's


class ErasureStage(TextChoices):
    """What an erasure is at; the customer's own row was blanked before it began."""

    EVENTS = "events"
    ANSWERS = "answers"  # remembered ones of POSTs with an Idempotency-Key
    CONTACT = "contact"  # in HubSpot


class FindingCode(TextChoices):
    """What a look at a mapped property came to."""

    OK = "ok"
    MISSING = "missing"
    ARCHIVED = "archived"
    READ_ONLY = "read_only"
    CALCULATED = "calculated"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_OPTION = "unknown_option"
    NOT_UNIQUE = "not_unique"
    VALUES_MUST_FIT = "values_must_fit"  # a property of the customers' own, which may be anything
    WILL_BE_MADE = "will_be_made"  # by us, with the first deal


class FindingLevel(TextChoices):
    """How bad that is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


MAX_NAME = 200
MAX_EXTERNAL_ID = 100  # as long as the `customer_id` of an order
MAX_EMAIL = 254
MAX_MAPPING = 100
MAX_PROPERTIES_BYTES = 16_384

# How the fields of a mapping begin that are figures of the customer's orders.
ORDERS_PREFIX = "orders."

# Which fields go to which HubSpot property where an account has said nothing.
DEFAULT_MAPPING = {"first_name": "firstname", "last_name": "lastname"}


def default_deal_stages() -> dict[str, str]:
    """Where a deal stands in HubSpot, in the pipeline that every HubSpot account begins with."""
    return {"pipeline": "default", "won": "closedwon", "lost": "closedlost"}
