"""API keys: issued, rotated, revoked. A key is in the answer to the form that made it, and nowhere else."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from apps.accounts import selectors, services
from apps.accounts.enums import DEFAULT_RATE_LIMIT, SCOPES
from apps.accounts.errors import AccountNotFound
from apps.accounts.history import note_addition
from apps.accounts.models import Account, ApiKey
from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.secrets import ask, show_secret
from apps.common.admin.shown import page_of
from apps.common.bulk import Revealed
from apps.common.errors import DomainError
from apps.common.ids import uuid7

_HOUR, _DAY = 3600, 24 * 3600


class IssueForm(forms.Form):
    """A key to be. Its id is chosen when the form is shown, so that sending it twice makes one key."""

    key_id = forms.UUIDField(
        widget=forms.HiddenInput, error_messages={"invalid": "Open this page anew."}
    )
    account = forms.CharField(help_text="Its slug or id.", widget=UnfoldAdminTextInputWidget)
    name = forms.CharField(
        max_length=100, help_text="What it is for.", widget=UnfoldAdminTextInputWidget
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        help_text="Write includes read.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    expires_at = forms.DateTimeField(
        required=False,
        label="End (UTC)",
        help_text="Empty for a key without an end.",
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
    )
    rate_limit = forms.IntegerField(
        min_value=1,
        max_value=1_000_000,
        initial=DEFAULT_RATE_LIMIT,
        label="Calls a minute",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean_account(self) -> Account:
        try:
            return selectors.account_by_reference(self.cleaned_data["account"].strip())
        except AccountNotFound as error:
            raise forms.ValidationError(error.detail) from error


class RotateForm(forms.Form):
    overlap_seconds = forms.TypedChoiceField(
        choices=[(0, "not at all"), (_HOUR, "an hour"), (_DAY, "a day"), (7 * _DAY, "a week")],
        coerce=int,
        initial=_DAY,
        label="The old key goes on working for",
        widget=UnfoldAdminSelectWidget,
    )


@admin.register(ApiKey)
class ApiKeyAdmin(BaseModelAdmin):
    list_display = (
        "prefix",
        "account",
        "name",
        "scopes",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_select_related = ("account",)
    search_fields = ("prefix__startswith", "account__slug__startswith")
    search_ids = ("id", "account_id")
    exclude = ("hash",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.add_apikey")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Issue a key."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        initial = {"key_id": uuid7(), "account": request.GET.get("account", "")}
        form = IssueForm(request.POST or None, initial=initial)
        if form.is_valid() and (answer := self._issue(request, form)):
            return answer
        return ask(self, request, title="Issue an API key", form=form, button="Issue")

    def _issue(self, request: HttpRequest, form: IssueForm) -> HttpResponse | None:
        """The answer that shows the key; None when the form now says why there is none."""
        wanted = {**form.cleaned_data}
        key_id: UUID = wanted["key_id"]
        account: Account = wanted.pop("account")
        try:
            with transaction.atomic():
                issued = services.issue_key(account_id=account.pk, **wanted)
        except IntegrityError:
            self.message_user(
                request,
                "This form was sent before: here is its key, which is shown only once.",
                messages.WARNING,
            )
            return redirect("admin:accounts_apikey_change", key_id)
        except DomainError as error:
            form.add_error(None, " ".join(fault.detail for fault in error.faults) or error.detail)
            return None
        note_addition(str(request.user.pk), issued.record, "Issued.")
        return show_secret(
            self,
            request,
            title=f"The new key of {account}",
            secret=issued.plain,
            back=page_of(issued.record),
        )

    @Action(
        "Rotate",
        "A new key with the same name and scopes takes its place; it is shown once.",
        icon="autorenew",
        form=RotateForm,
        when=lambda key: key.revoked_at is None and key.rotated_at is None,
        alone=True,
    )
    def rotate(self, key: ApiKey, actor: Actor, overlap_seconds: int) -> Revealed:
        issued = services.rotate_key(
            account_id=key.account_id, key_id=key.pk, overlap_seconds=overlap_seconds
        )
        note_addition(actor.id, issued.record, f"Issued in the place of {key.prefix}.")
        return Revealed(f"{issued.record.prefix} takes the place of {key.prefix}.", issued.plain)

    @Action(
        "Revoke",
        "Nobody can call with it, from now on. There is no way back.",
        icon="block",
        variant=ActionVariant.DANGER,
        when=lambda key: key.revoked_at is None,
    )
    def revoke(self, key: ApiKey, actor: Actor) -> str:
        services.revoke_key(account_id=key.account_id, key_id=key.pk)
        return f"{key.prefix} is revoked."
