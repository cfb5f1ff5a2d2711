"""What people fill in to sign in."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts import secondfactor
from apps.accounts.models import User


class CodeForm(forms.Form):
    """A code of the second factor; valid once, when it was right."""

    code = forms.CharField(
        max_length=30,
        label="Code",
        widget=UnfoldAdminTextInputWidget(
            attrs={"autocomplete": "one-time-code", "autofocus": "", "spellcheck": "false"}
        ),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_code(self) -> str:
        code: str = self.cleaned_data["code"]
        try:
            self.take(code)
        except secondfactor.CodeRefused as refused:
            raise forms.ValidationError(str(refused)) from refused
        return code

    def take(self, code: str) -> None:
        secondfactor.check(self.user, code)


class FirstCodeForm(CodeForm):
    """The first code of an authenticator app, which puts it in force."""

    backup_codes: list[str]

    def take(self, code: str) -> None:
        self.backup_codes = secondfactor.confirm(self.user, code)
