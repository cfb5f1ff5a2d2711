"""Sheets of products and stock: uploaded, looked at, brought in."""

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextInputWidget

from apps.accounts.models import Account
from apps.common.actor import Actor
from apps.common.admin import BaseModelAdmin, actor_of
from apps.common.admin.shown import moment, related
from apps.common.errors import DomainError
from apps.orders.models import ProductImport
from apps.orders.services import imports


class SheetForm(forms.Form):
    """A sheet for an account; larger ones go in by `manage.py import_products`."""

    account = forms.SlugField(help_text="Its slug.", widget=UnfoldAdminTextInputWidget())
    file = forms.FileField(
        help_text="CSV, 1 MiB at the most. Its first line names the columns: sku, and any of name, price"
        " (in the minor unit), currency, active, low_stock_threshold, stock (as counted).",
        widget=UnfoldAdminFileFieldWidget(),
    )

    def clean_account(self) -> Account:
        account = Account.objects.filter(slug=self.cleaned_data["account"]).first()
        if account is None:
            raise forms.ValidationError("There is no such account.")
        return account

    def clean_file(self) -> "UploadedFile[bytes]":
        file: UploadedFile[bytes] = self.cleaned_data["file"]
        if (file.size or 0) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise forms.ValidationError("This is over 1 MiB: use manage.py import_products.")
        return file

    def upload(self, actor: Actor) -> ProductImport | None:
        """Keep the sheet; None when it is none, which the form then says."""
        file = self.cleaned_data["file"]
        try:
            return imports.upload(
                account_id=self.cleaned_data["account"].pk,
                name=file.name[:200],
                content=file.read(),
                actor=actor,
            )
        except DomainError as error:
            self.add_error("file", error.detail)
            return None


@admin.register(ProductImport)
class ProductImportAdmin(BaseModelAdmin):
    """Upload a sheet, look at what it would do, bring it in."""

    list_display = (
        "name",
        related("account"),
        moment("created_at", "uploaded"),
        moment("committed_at"),
    )
    list_select_related = ("account",)
    search_ids = ("pk", "account_id")
    search_help_text = "A whole id: of the import or its account."
    exclude = ("content", "report")
    change_form_template = "admin/orders/productimport/change_form.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perms(("orders.add_productimport", "orders.change_product"))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With the lines that are left out."""
        bad = context["original"].report["bad"]
        context["bad_lines"] = {
            "headers": ["line", "sku", "why it is left out"],
            "rows": [[row["line"], row["sku"], row["fault"]] for row in bad],
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        commit = self.admin_site.admin_view(require_POST(self.commit))
        return [
            path("<uuid:import_id>/commit/", commit, name="orders_productimport_commit"),
            *super().get_urls(),
        ]

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = SheetForm(request.POST or None, request.FILES or None)
        if form.is_valid() and (sheet := form.upload(actor_of(request))):
            return redirect("admin:orders_productimport_change", sheet.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": "Import products",
            "form": form,
            "opts": self.opts,
        }
        return render(request, "admin/orders/productimport/upload.html", context)

    def commit(self, request: HttpRequest, import_id: UUID) -> HttpResponse:
        """Bring in what was looked at."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        try:
            report = imports.commit_upload(import_id=import_id, actor=actor_of(request))
        except DomainError as error:
            self.message_user(request, error.detail, messages.WARNING)
        else:
            done = f"{report.created} created, {report.updated} updated, {report.refused} refused."
            self.message_user(request, done, messages.SUCCESS)
        return redirect("admin:orders_productimport_change", import_id)
