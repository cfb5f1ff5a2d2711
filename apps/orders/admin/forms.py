"""What is asked of whoever acts on an order."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import URLValidator
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminURLInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.common.admin import RowForm
from apps.common.errors import Invalid
from apps.common.money import minor
from apps.orders.enums import PaymentKind
from apps.orders.models import Order


class ShipForm(forms.Form):
    """What is known of the parcel."""

    tracking_company = forms.CharField(
        required=False, max_length=100, widget=UnfoldAdminTextInputWidget
    )
    tracking_number = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget
    )
    tracking_link = forms.URLField(
        required=False,
        max_length=2000,
        assume_scheme="https",
        validators=[URLValidator(schemes=["http", "https"])],
        widget=UnfoldAdminURLInputWidget,
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=200, widget=UnfoldAdminTextInputWidget)


class PaymentForm(forms.Form):
    """What is known of a payment."""

    kind = forms.ChoiceField(choices=PaymentKind.choices, widget=UnfoldAdminSelectWidget)
    amount = forms.DecimalField(
        min_value=0,
        max_digits=17,
        help_text="In the order's currency, with a point: 12.50",
        widget=UnfoldAdminDecimalFieldWidget,
    )
    reference = forms.CharField(
        max_length=200,
        help_text="Its name at the bank or the payment service. The same again is not recorded twice.",
        widget=UnfoldAdminTextInputWidget,
    )


class PartsForm(RowForm):
    """How many of each line; becomes `parts`, the quantities by sku. At first all that can be asked for.

    A line of which nothing is left stays: a form that is sent again is to be read as it was the first time.
    """

    counted = ""  # the property of a line that says how many can be asked for
    left = ""  # and what these are, for people

    def __init__(self, given: Mapping[str, Any] | None = None, *, row: Order) -> None:
        super().__init__(given, row=row)
        self._skus: dict[str, str] = {}
        for line in row.lines.order_by("id"):
            left = getattr(line, self.counted)
            name = f"line_{line.pk.hex}"
            self._skus[name] = line.sku
            self.fields[name] = forms.IntegerField(
                label=f"{line.name} ({line.sku})",
                help_text=f"{left} of {line.quantity} {self.left}.",
                initial=left,
                min_value=0,
                max_value=line.quantity,
                required=False,
                widget=UnfoldAdminIntegerFieldWidget,
            )
        self.order_fields(list(self._skus))

    def clean(self) -> dict[str, Any]:
        parts = {sku: self.cleaned_data.pop(name, None) for name, sku in self._skus.items()}
        asked = {sku: quantity for sku, quantity in parts.items() if quantity}
        if not asked and not self.errors:
            raise forms.ValidationError("Say of one line at least how many.")
        return {**self.cleaned_data, "parts": asked}


class ShipPartsForm(PartsForm, ShipForm):
    counted = "unshipped"
    left = "not shipped yet"


class ReturnPartsForm(PartsForm, ReasonForm):
    counted = "out"
    left = "out"
    restock = forms.BooleanField(
        label="Back into stock",
        help_text="Otherwise it is written off.",
        initial=True,
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )


def minor_units(amount: Decimal, currency: str) -> int:
    """What a person wrote, in the minor unit; raises Invalid when that has fractions or is nothing."""
    try:
        asked = minor(amount, currency)
    except ValueError as error:
        raise Invalid(str(error)) from error
    if asked < 1:
        raise Invalid("The amount is nothing.")
    return asked
