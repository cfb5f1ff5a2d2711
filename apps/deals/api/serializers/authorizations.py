"""Input of the authorization calls."""

from apps.common.api.fields import Text
from apps.common.api.serializers import Body
from apps.deals.api.serializers.deals import REFERENCE_LENGTH


class AuthorizationInput(Body):
    """Whom to let see the caller's deals."""

    buyer = Text(max_length=REFERENCE_LENGTH, help_text="Id or slug of the buyer's account.")
