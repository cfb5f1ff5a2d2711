"""The people of the back office and their roles."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import secondfactor
from apps.accounts.models import User
from apps.common.actor import Actor
from apps.common.admin import Action, ModelAdmin
from apps.common.admin.acting import ActingAdmin
from apps.common.admin.pages import RecordList
from apps.common.errors import Conflict, Forbidden

admin.site.unregister(Group)

# What makes a superuser of somebody; only a superuser may give it.
_POWER = ("is_superuser", "user_permissions")


@admin.register(User)
class PersonAdmin(UserAdmin, ActingAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
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
        "factor",
        "last_login",
    )
    list_filter = ("groups", "is_active", "is_staff", "is_superuser")
    readonly_fields = ("last_login", "date_joined", "factor")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        return RecordList

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        return [*fieldsets, ("Second factor", {"fields": ("factor",)})]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[User]":
        people: QuerySet[User] = super().get_queryset(request)
        return people.select_related("second_factor").prefetch_related("groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, *_POWER)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers change a superuser: or a new password would make one of who sets it."""
        if isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="roles")
    def roles(self, person: User) -> str:
        return ", ".join(sorted(group.name for group in person.groups.all()))

    @admin.display(description="second factor")
    def factor(self, person: User) -> str:
        return str(getattr(person, "second_factor", "off"))

    @Action("Sign out", "Every session of theirs ends now.", icon="logout")
    def sign_out(self, person: User, actor: Actor) -> str:
        _require_power(person, actor)
        secondfactor.end_sessions(person)
        return f"{person} is signed out everywhere."

    @Action(
        "Take second factor away",
        "They sign in with their password alone, or make a new one where one is required.",
        icon="phonelink_erase",
        variant=ActionVariant.DANGER,
        when=lambda person: hasattr(person, "second_factor"),
    )
    def reset_second_factor(self, person: User, actor: Actor) -> str:
        _require_power(person, actor)
        if not secondfactor.remove(person):
            raise Conflict("There is no second factor.")
        return f"{person} has no second factor any more."


def _require_power(person: User, actor: Actor) -> None:
    """Only a superuser acts on one."""
    if person.is_superuser and not User.objects.filter(pk=actor.id, is_superuser=True).exists():
        raise Forbidden("This is a superuser, on whom only superusers act.")


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """What people may do. The four roles are as the code says (apps/backoffice/roles.py).

    None is deleted: everybody who has it would lose it without a trace.
    """

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
