"""Authorisations in the back office."""

from uuid import UUID

from django.contrib import admin
from unfold.enums import ActionVariant

from apps.common.actor import Actor
from apps.common.admin import Action, BaseModelAdmin
from apps.common.admin.shown import moment, related
from apps.deals.models import Authorization
from apps.deals.services import authorizations as services


@admin.register(Authorization)
class AuthorizationAdmin(BaseModelAdmin):
    list_display = ("__str__", related("seller"), related("buyer"), moment("created_at", "granted"))
    list_select_related = ("seller", "buyer")
    search_ids = ("pk", "seller_id", "buyer_id")
    search_accounts = ("seller", "buyer")
    search_help_text = "A whole id, of the authorization or an account, or the start of a slug."

    def subject_of(self, row: Authorization) -> UUID:
        return row.pk

    @Action(
        "Revoke",
        "The buyer sees none of the seller's deals from now on, and is sent no more webhooks about them.",
        icon="person_remove",
        variant=ActionVariant.DANGER,
    )
    def revoke(self, authorization: Authorization, actor: Actor) -> str:
        services.revoke_authorization(
            seller_id=authorization.seller_id, authorization_id=authorization.pk, actor=actor
        )
        return f"{authorization}: revoked."
