"""What can go wrong with customers and their connection to HubSpot."""

from apps.common.errors import Conflict, Invalid, NotFound


class CustomerNotFound(NotFound):
    code = "customer_not_found"


class ConnectionNotFound(NotFound):
    code = "connection_not_found"


class EmailTaken(Conflict):
    code = "email_taken"
    title = "The email is taken"


class CustomerExternalIdTaken(Conflict):
    code = "external_id_taken"
    title = "The external_id is taken"


class CustomerInvalid(Invalid):
    """A customer would have more than can be kept."""

    code = "invalid"


class MappingInvalid(Invalid):
    """The mapping names a field that there is not, or one property twice."""

    code = "invalid"
