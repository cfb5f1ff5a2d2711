"""The form of a preview: a stream's mapping, to be tried before it is saved."""

from contextlib import suppress
from typing import Any

import orjson
from django import forms
from rest_framework.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from apps.common.admin.shown import NOTHING
from apps.common.api.problems import flatten
from apps.common.api.serializers import shared
from apps.common.errors import DomainError
from apps.datafetch.api.serializers.streams import PreviewInput
from apps.datafetch.models import Stream
from apps.datafetch.services import streams
from apps.datafetch.services.previewing import MAX_SHOWN, Preview
from apps.datafetch.sources import forms as record_forms

MAX_EXCERPT = 500


class PreviewForm(forms.Form):
    """What is tried; nothing of it is stored."""

    records_path = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminTextInputWidget, help_text="JMESPath."
    )
    primary_key = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="A JMESPath, or a JSON array of them.",
    )
    mapping = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text="A JSON object: name of a field, and its JMESPath.",
    )
    records = forms.IntegerField(
        min_value=1,
        max_value=MAX_SHOWN,
        initial=10,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="How many are shown at the most.",
    )

    @classmethod
    def of(cls, stream: Stream) -> dict[str, Any]:
        """What the stream has at present."""
        key = stream.primary_key
        return {
            "records_path": stream.records_path,
            "primary_key": key if isinstance(key, str | None) else orjson.dumps(key).decode(),
            "mapping": stream.mapping,
            "records": 10,
        }

    def applied_to(self, stream: Stream) -> Stream | None:
        """The stream as it would then be; None where that cannot be, which the form says."""
        if not self.is_valid():
            return None
        try:
            given = shared(PreviewInput).run_validation(
                {"stream": str(stream.pk), **self._changes(self.cleaned_data)}
            )
            changes = {name: given[name] for name in ("records_path", "primary_key", "mapping")}
            return streams.altered_by(stream, changes)
        except ValidationError as error:
            for fault in flatten(error.detail):
                name = fault["pointer"].split("/")[1] if fault["pointer"] else None
                self.add_error(name if name in self.fields else None, fault["detail"])
        except DomainError as error:
            self.add_error(None, error.detail)
        return None

    def _changes(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        key = cleaned["primary_key"] or None
        if key is not None and key.startswith("["):
            with suppress(orjson.JSONDecodeError):  # what is neither is refused as an expression
                key = orjson.loads(key)
        return {
            "records_path": cleaned["records_path"],
            "primary_key": key,
            "mapping": cleaned["mapping"] or None,
        }

    @staticmethod
    def tables(seen: Preview) -> list[tuple[str, dict[str, Any]]]:
        """What was seen, as tables with their titles."""
        fields = record_forms.as_schema(seen.form)["properties"].items()
        listed: list[tuple[str, list[str], list[list[object]]]] = [
            ("Warnings", ["what", "detail"], [[one.code, one.detail] for one in seen.warnings]),
            (
                "Records as they would be stored",
                ["key", "cursor", "change", "data"],
                [
                    [
                        one.key,
                        NOTHING if one.cursor is None else one.cursor,
                        one.change or "unchanged",
                        one.data[:MAX_EXCERPT],
                    ]
                    for one in seen.samples
                ],
            ),
            (
                "Rejected",
                ["why", "detail", "record"],
                [
                    [one.code, one.detail, one.data.decode(errors="replace")[:MAX_EXCERPT]]
                    for one in seen.refused
                ],
            ),
            (
                "Schema",
                ["field", "types", "new"],
                [
                    [name, ", ".join(kind["type"]), "new" if name in (seen.strange or {}) else ""]
                    for name, kind in fields
                ],
            ),
        ]
        return [(title, {"headers": heads, "rows": rows}) for title, heads, rows in listed if rows]
