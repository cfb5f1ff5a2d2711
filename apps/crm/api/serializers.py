"""Input of the calls on customers and on the connection to HubSpot."""

from typing import Any

import orjson
from django.core.validators import EmailValidator, RegexValidator
from rest_framework import serializers

from apps.common.api.fields import Boolean, Choice, Text
from apps.common.api.pagination import PageQuery
from apps.common.api.serializers import Body
from apps.crm.enums import (
    DEFAULT_MAPPING,
    MAX_EMAIL,
    MAX_EXTERNAL_ID,
    MAX_MAPPING,
    MAX_NAME,
    MAX_PROPERTIES_BYTES,
    NOT_CONFIGURED,
    MissingContact,
    SyncState,
    default_deal_stages,
)
from apps.crm.selectors import normalised


class Email(Text):
    """An e-mail address, kept in lower case."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=MAX_EMAIL,
            validators=[EmailValidator("Not an e-mail address.")],
            help_text="Kept in lower case; unique among your customers.",
            **kwargs,
        )

    def to_internal_value(self, data: Any) -> str:
        return normalised(super().to_internal_value(data))


class ExternalId(Text):
    """What the caller's own programs call a customer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_EXTERNAL_ID, **kwargs)


class Properties(serializers.DictField):
    """A JSON object of strings, numbers, booleans and nulls, 16 kB at the most."""

    default_error_messages = {
        "too_large": f"Properties may have {MAX_PROPERTIES_BYTES:,} bytes as JSON at the most.",
        "not_plain": "{name} must be a string, a number up to ±2^63, true, false or null.",
        "blank_name": "A property has a name of 1 to 100 characters.",
    }

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value: dict[str, Any] = super().to_internal_value(data)
        for name, one in value.items():
            if not 1 <= len(name) <= 100:
                self.fail("blank_name")
            if not _is_plain(one):
                self.fail("not_plain", name=name)
        if len(orjson.dumps(value)) > MAX_PROPERTIES_BYTES:
            self.fail("too_large")
        return value


class NewProperties(Properties):
    """Those of a whole customer: a null is no property."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        value = super().to_internal_value(data)
        return {name: one for name, one in value.items() if one is not None}


def _name(**kwargs: Any) -> Text:
    return Text(max_length=MAX_NAME, allow_null=True, **kwargs)


class CustomerInput(Body):
    email = Email()
    first_name = _name(default=None)
    last_name = _name(default=None)
    external_id = ExternalId(
        allow_null=True, default=None, help_text="Orders name the customer by it (`customer_id`)."
    )
    properties = NewProperties(default=dict, help_text="Your own; the mapping sends some on.")


class CustomerReplacement(Body):
    """All that can be written of a customer, but the external_id in the path."""

    email = Email()
    first_name = _name(default=None)
    last_name = _name(default=None)
    properties = NewProperties(default=dict, help_text="Your own; the mapping sends some on.")


class CustomerChanges(Body):
    email = Email(required=False)
    first_name = _name(required=False)
    last_name = _name(required=False)
    external_id = ExternalId(required=False, allow_null=True)
    properties = Properties(required=False, help_text="Merged with those there are; null removes.")


class ErasureInput(Body):
    delete_contact = Boolean(default=False, help_text="Also in HubSpot, for good.")


class CustomersQuery(PageQuery):
    email = serializers.CharField(required=False, max_length=MAX_EMAIL)
    external_id = serializers.CharField(required=False, max_length=MAX_EXTERNAL_ID)
    q = serializers.CharField(
        required=False, max_length=MAX_EMAIL, help_text="The start of an e-mail or external_id."
    )
    state = serializers.ChoiceField(
        required=False,
        choices=[*SyncState.values, NOT_CONFIGURED],
        help_text="How far HubSpot is: `crm.state`.",
    )


class AccessToken(Text):
    """A secret that is sent in a header: visible ASCII only."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=500,
            validators=[RegexValidator(r"^[!-~]+\Z", "Visible ASCII characters only.")],
            **kwargs,
        )


class Mapping(serializers.DictField):
    """{field of a customer: name of a HubSpot property}."""

    default_error_messages = {
        "too_many": f"A mapping has {MAX_MAPPING} fields at the most.",
        "field_too_long": "A field's name has 120 characters at the most.",
    }
    child = Text(
        max_length=100,
        validators=[
            RegexValidator(r"^[a-z][a-z0-9_]*\Z", "A property's name is like `firstname`.")
        ],
    )

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if isinstance(data, dict):
            if len(data) > MAX_MAPPING:
                self.fail("too_many")
            if any(len(str(name)) > 120 for name in data):
                self.fail("field_too_long")
        value: dict[str, str] = super().to_internal_value(data)
        return value


def _stage(name: str, **kwargs: Any) -> Text:
    default = default_deal_stages()[name]
    return Text(max_length=100, default=default, **kwargs)


class DealStages(Body):
    """HubSpot's internal ids, as its settings of pipelines show them."""

    pipeline = _stage("pipeline")
    won = _stage("won", help_text="The stage of a deal that was sold.")
    lost = _stage("lost", help_text="The stage of one whose invoice was taken back.")


class ConnectionInput(Body):
    access_token = AccessToken(
        required=False,
        allow_null=True,
        write_only=True,
        help_text="Never shown again. Left out: the present one stays; null: the installation's.",
    )
    missing_contact = Choice(
        choices=MissingContact.choices,
        default=MissingContact.CREATE.value,
        help_text="What becomes of a customer that HubSpot does not know.",
    )
    mapping = Mapping(
        default=lambda: dict(DEFAULT_MAPPING),
        help_text="Which field goes to which HubSpot property; the e-mail always goes to `email`.",
    )
    send_orders = Boolean(default=True, help_text="Order figures reach HubSpot.")
    send_deals = Boolean(default=True, help_text="Deals sold become HubSpot deals.")
    deal_stages = DealStages(
        default=default_deal_stages, help_text="Where they stand in HubSpot: ids of its pipeline."
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, str | bool)
