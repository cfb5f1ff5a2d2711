"""The people of the back office and their roles."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import secondfactor
from apps.accounts.models import User
from apps.common.admin import ModelAdmin

admin.site.unregister(Group)

# What makes a superuser of somebody; only a superuser may give it.
_POWER = ("is_superuser", "user_permissions")


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """People who sign in here. Nobody is deleted, since the history names them: they are made inactive."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (
        "username",
        "email",
        "roles",
        "is_active",
        "is_staff",
        "second_factor",
        "last_login",
    )
    list_filter = ("groups", "is_active", "is_staff", "is_superuser")
    readonly_fields = ("last_login", "date_joined", "second_factor")
    actions = ("sign_out", "reset_second_factor")

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        return [*fieldsets, ("Second factor", {"fields": ("second_factor",)})]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        people: QuerySet[User] = super().get_queryset(request)
        return people.select_related("second_factor").prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *_POWER)  # type: ignore[union-attr]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers change a superuser: or a new password would make one of who sets it."""
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:  # type: ignore[union-attr]
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="roles")
    def roles(self, person: User) -> str:
        return ", ".join(sorted(group.name for group in person.groups.all()))

    @admin.display(description="second factor")
    def second_factor(self, person: User) -> str:
        return str(getattr(person, "second_factor", "off"))

    @admin.action(description="Sign the chosen people out everywhere", permissions=["change"])
    def sign_out(self, request: HttpRequest, chosen: "QuerySet[User]") -> None:
        for person in self._changeable(request, chosen):
            secondfactor.end_sessions(person)
            self._tell(request, person, "Signed out everywhere.")

    @admin.action(
        description="Take the second factor of the chosen people away", permissions=["change"]
    )
    def reset_second_factor(self, request: HttpRequest, chosen: "QuerySet[User]") -> None:
        for person in self._changeable(request, chosen):
            if secondfactor.remove(person):
                self._tell(request, person, "Second factor taken away.")
            else:
                self.message_user(request, f"{person} had none.", messages.WARNING)

    def _changeable(self, request: HttpRequest, chosen: "QuerySet[User]") -> list[User]:
        found = [person for person in chosen if self.has_change_permission(request, person)]
        for person in chosen:
            if person not in found:
                refused = f"{person} is a superuser, whom only superusers change."
                self.message_user(request, refused, messages.WARNING)
        return found

    def _tell(self, request: HttpRequest, person: User, what: str) -> None:
        self.log_change(request, person, what)
        self.message_user(request, f"{person}: {what}", messages.SUCCESS)


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """What people may do. The four roles are as the code says (apps/backoffice/roles.py)."""
