"""Input of the calls that make, change and run streams."""

from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from rest_framework import serializers

from apps.common.api.fields import Boolean, Choice, Integer, Text, Uuid
from apps.common.api.serializers import Body
from apps.datafetch.api.serializers.fields import (
    MAX_VALUE,
    Entries,
    HeaderValue,
    Keys,
    Number,
    Path,
    SourceUrl,
)
from apps.datafetch.api.serializers.sources import Auth, CursorInput, Pagination
from apps.datafetch.enums import SchemaPolicy

MAX_INTERVAL = 31 * 24 * 3600
MAX_ENTRIES = 50
MAX_FIELDS = 200
MAX_RATE = 1000


class StreamInput(Body):
    name = Text(max_length=200)
    url = SourceUrl(help_text="http or https; its address must be a public one.")
    interval_seconds = Integer(
        min_value=1,
        max_value=MAX_INTERVAL,
        required=False,
        allow_null=True,
        help_text="Every 300 s unless said otherwise.",
    )
    cron = Text(max_length=100, required=False, allow_null=True, help_text="In UTC, in its place.")
    records_path = Path(
        required=False, allow_blank=True, help_text="JMESPath of the records; else the body itself."
    )
    primary_key = Keys(
        required=False,
        allow_null=True,
        help_text="JMESPath of what tells records apart, or several; else their content does.",
    )
    cursor = CursorInput(required=False, allow_null=True)
    pagination = Pagination(required=False)
    auth = Auth(required=False, help_text="Its secrets are never shown again.")
    headers = Entries(
        child=HeaderValue(allow_null=True, allow_blank=True),
        most=MAX_ENTRIES,
        is_header=True,
        required=False,
    )
    params = Entries(
        child=Text(max_length=MAX_VALUE, allow_null=True, allow_blank=True, trim_whitespace=False),
        most=MAX_ENTRIES,
        required=False,
    )
    mapping = Entries(
        child=Path(min_length=1),
        most=MAX_FIELDS,
        required=False,
        allow_null=True,
        help_text="Fields of the stored record, each a JMESPath into the record as it came.",
    )
    schema_policy = Choice(
        choices=SchemaPolicy.values,
        required=False,
        help_text=(
            "When records look new: `evolve` stores them, `freeze` fails the run, `reject` sets them aside."
        ),
    )
    rate_limit = Number(
        min_value=0.001,
        max_value=MAX_RATE,
        required=False,
        allow_null=True,
        help_text="Requests a second at most, to the URL's host, over all your streams.",
    )

    default_error_messages = {"invalid_cron": "Not a cron expression: {reason}"}

    def validate_cron(self, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            detail = self.error_messages["invalid_cron"].format(reason=error or "it never comes")
            raise serializers.ValidationError(detail, code="invalid_cron") from error
        return value


class PreviewInput(StreamInput):
    stream = Uuid(required=False, help_text="One of yours, as the rest of this would change it.")
    name = Text(max_length=200, required=False)
    url = SourceUrl(required=False, help_text="Needed where `stream` is left out.")
    records = Integer(
        min_value=1, max_value=50, default=10, help_text="How many are shown at the most."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "stream" not in attrs and "url" not in attrs:
            detail = "Send the url of what is to be looked at, or the id of a stream."
            raise serializers.ValidationError({"url": [detail]}, code="required")
        return attrs


class RunInput(Body):
    full_refresh = Boolean(
        default=False, help_text="Read all from the cursor's beginning, and see what was deleted."
    )
    allow_deletes = Boolean(
        default=False, help_text="Believe that records have vanished, however many."
    )
