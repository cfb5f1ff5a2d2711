"""What can go wrong with accounts and keys."""

from apps.common.errors import Conflict, Invalid, NotFound


class AccountNotFound(NotFound):
    code = "account_not_found"


class ApiKeyNotFound(NotFound):
    code = "api_key_not_found"


class ApiKeyRevoked(Conflict):
    code = "api_key_revoked"


class ApiKeyRotated(Conflict):
    """A key is rotated once; its successor can be rotated again."""

    code = "api_key_rotated"


class ApiKeyExpired(Conflict):
    """A key that has ended is not rotated."""

    code = "api_key_expired"


class ScopesExceeded(Invalid):
    """A key can only issue keys whose scopes it holds itself."""

    code = "scopes_exceeded"
