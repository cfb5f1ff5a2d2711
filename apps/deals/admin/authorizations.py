"""Authorisations in the back office."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.common.admin import BaseModelAdmin, actor_of
from apps.deals.errors import AuthorizationNotFound
from apps.deals.models import Authorization
from apps.deals.services import authorizations as services


@admin.register(Authorization)
class AuthorizationAdmin(BaseModelAdmin):
    list_display = ("seller", "buyer", "created_at")
    list_select_related = ("seller", "buyer")
    search_fields = ("seller__slug__startswith", "buyer__slug__startswith")
    search_ids = ("pk", "seller_id", "buyer_id")
    search_help_text = "A whole id, of the authorization or an account, or the start of a slug."
    actions = ("revoke",)

    @admin.action(description="Revoke the chosen authorizations", permissions=["change"])
    def revoke(self, request: HttpRequest, authorizations: "QuerySet[Authorization]") -> None:
        for authorization in authorizations:
            try:
                services.revoke_authorization(
                    seller_id=authorization.seller_id,
                    authorization_id=authorization.id,
                    actor=actor_of(request),
                )
            except AuthorizationNotFound:
                self.message_user(request, f"{authorization}: revoked before.", messages.WARNING)
            else:
                self.message_user(request, f"{authorization}: revoked.", messages.SUCCESS)
