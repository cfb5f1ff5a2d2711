"""Actions: chosen in a list or on an object's page, confirmed, and carried out by the services of the API.

A page declares one as a method, which does it to one object and says what it did, or raises DomainError:

    @Action("Cancel", "Its stock is released.", when=lambda order: order.status == "pending")
    def cancel(self, order: Order, actor: Actor) -> str: ...

It stands in the list's menu and, where `when` holds, on the object's page. Whoever takes it is shown first
what will happen, and to how many. Up to 100 objects are done at once; more become a BulkAction. What is
confirmed is done once, however often it is sent, and noted in the object's history.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IS_POPUP_VAR, IncorrectLookupParameters
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from unfold.enums import ActionVariant

from apps.common import bulk
from apps.common.actor import Actor
from apps.common.admin.base import ModelAdmin, actor_of
from apps.common.admin.secrets import show_secret
from apps.common.admin.shown import list_of, page_of
from apps.common.bulk import Operation, Result, Revealed
from apps.common.confirmations import carry_out_once
from apps.common.errors import DomainError, Invalid
from apps.common.ids import uuid7

AT_ONCE = 100
MAX_LISTED = 20
MAX_SAID = 10

Method = Callable[..., str | Revealed]


class RowForm(forms.Form):
    """Fields that depend on the object: for actions that stand alone."""

    def __init__(self, given: Mapping[str, Any] | None = None, *, row: Any) -> None:
        super().__init__(given)
        self.row = row


class Action:
    """Decorates a method `(page, object, actor, **inputs)`; `inputs` are what `form` cleans.

    `will` tells what will happen to each object. `when` says of an object whether it makes sense now; the
    service has the last word. `permission` is `change` or another right of the page, or one by its whole
    name (`webhooks.rotate_secret`). `alone`: to one object at a time, as what reveals a secret.
    """

    do_not_call_in_templates = True  # for Django's: it is callable, as decorators are
    name: str
    method: Method

    def __init__(
        self,
        title: str,
        will: str,
        *,
        icon: str = "bolt",
        variant: ActionVariant = ActionVariant.DEFAULT,
        form: type[forms.Form] | None = None,
        when: Callable[[Any], bool] = lambda row: True,
        permission: str = "change",
        alone: bool = False,
    ) -> None:
        self.title = title
        self.will = will
        self.icon = icon
        self.variant = variant
        self.form = form
        self.when = when
        self.permission = permission
        self.alone = alone

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __call__(self, method: Method) -> "Action":
        self.method = method
        return self

    def form_for(self, row: Any, given: Mapping[str, Any] | None = None) -> forms.Form | None:
        """What is asked of whoever acts on `row`, or on many of which it is one; None when nothing is."""
        if self.form is None:
            return None
        return self.form(given, row=row) if issubclass(self.form, RowForm) else self.form(given)

    def read(self, row: Any, inputs: Mapping[str, str]) -> Mapping[str, Any]:
        """The inputs as the method wants them; raises Invalid."""
        form = self.form_for(row, inputs)
        if form is None:
            return {}
        if not form.is_valid():
            raise Invalid(
                " ".join(str(error) for errors in form.errors.values() for error in errors)
            )
        return form.cleaned_data


class ActingAdmin(ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """A page with actions."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.acts = {
            value.name: value
            for kind in reversed(type(self).__mro__)
            for value in vars(kind).values()
            if isinstance(value, Action)
        }
        self._operations = {name: self._operation(action) for name, action in self.acts.items()}
        for operation in self._operations.values():
            bulk.register(operation)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.act_view)
        own: list[URLPattern] = [path("act/<slug:name>/", view, name=self._act_url_name())]
        return own + super().get_urls()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The list's menu."""
        actions: dict[str, Any] = super().get_actions(request)
        if self.actions is None or IS_POPUP_VAR in request.GET:
            return actions
        for action in self.acts.values():
            if self.may_act(request, action):
                actions[action.name] = (self._asking(action), action.name, action.title)
        return actions

    def may_act(self, request: HttpRequest, action: Action) -> bool:
        if "." in action.permission:
            return request.user.has_perm(action.permission)
        return bool(getattr(self, f"has_{action.permission}_permission")(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With a button for each action that makes sense now."""
        row = context.get("original")
        if row is not None:
            buttons = [self._button(action, row) for action in self._fitting(request, row)]
            context["actions_detail"] = [*(context.get("actions_detail") or []), *buttons]
        return super().render_change_form(request, context, *args, **kwargs)

    def act_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask for a confirmation (GET, by `_selected_action`), or do what was confirmed (POST)."""
        action = self.acts.get(name)
        if action is None:
            raise Http404
        if not self.may_act(request, action):
            raise PermissionDenied
        if request.method == "POST":
            return self._confirmed(request, action)
        return self._ask(request, action, self._chosen(request, request.GET))

    def _asking(self, action: Action) -> Callable[..., HttpResponse]:
        def ask(page: ActingAdmin, request: HttpRequest, chosen: "QuerySet[Any]") -> HttpResponse:
            return page._ask(request, action, chosen)

        return ask

    def _chosen(self, request: HttpRequest, given: Any) -> "QuerySet[Any]":
        if given.get("select_across") == "1":
            try:
                shown: QuerySet[Any] = self.get_changelist_instance(request).get_queryset(request)
            except IncorrectLookupParameters:
                return self.get_queryset(request).none()
            return shown
        try:
            field = self.model._meta.pk
            # No key has a NUL, and PostgreSQL does not compare with one.
            chosen = [one for one in given.getlist(ACTION_CHECKBOX_NAME) if "\0" not in one]
            ids = [field.to_python(one) for one in chosen]
        except ValidationError:
            ids = []
        rows: QuerySet[Any] = self.get_queryset(request).filter(pk__in=ids)
        return rows

    def _ask(
        self,
        request: HttpRequest,
        action: Action,
        chosen: "QuerySet[Any]",
        form: forms.Form | None = None,
    ) -> HttpResponse:
        """The page that says what will happen, and to how many."""
        count = _number_of(chosen)
        rows = list(chosen[:AT_ONCE]) if count <= AT_ONCE else list(chosen[:MAX_LISTED])
        given = request.POST if request.method == "POST" else request.GET
        # What is shown whole is done to these, whatever else may match a moment later.
        is_across = given.get("select_across") == "1" and count > AT_ONCE
        context = {
            **self.admin_site.each_context(request),
            "title": f"{action.title}: {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "action": action,
            "button_variant": "danger" if action.variant is ActionVariant.DANGER else "primary",
            "form": form or (action.form_for(rows[0]) if rows else None),
            "count": count,
            "noun": self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural,
            "max_objects": bulk.MAX_OBJECTS,
            "is_too_many": count > (1 if action.alone else bulk.MAX_OBJECTS),
            "is_job": count > AT_ONCE,
            "listed": [(row, page_of(row)) for row in rows[:MAX_LISTED]],
            "unlisted": count - len(rows[:MAX_LISTED]),
            "unfit": sum(not action.when(row) for row in rows) if count <= AT_ONCE else 0,
            "ids": [] if is_across else [row.pk for row in chosen],
            "is_across": is_across,
            "is_detail": _is_detail(request),
            "confirmation": uuid7(),
            "act_url": self._act_url(action, request),
            "back_url": self._back(request, given),
        }
        return render(request, "admin/acting/confirm.html", context)

    def _confirmed(self, request: HttpRequest, action: Action) -> HttpResponse:
        chosen = self._chosen(request, request.POST)
        count = _number_of(chosen)
        if count > 1 and action.alone:
            raise PermissionDenied
        one = chosen.first()
        form = action.form_for(one, request.POST) if one else None
        confirmation = _confirmation(request)
        if confirmation is None or (form is not None and not form.is_valid()):
            return self._ask(request, action, chosen, form)
        if begun := bulk.begun(confirmation):
            return HttpResponseRedirect(page_of(begun))
        names = form.fields if form is not None else ()
        inputs = {name: request.POST[name] for name in names if name in request.POST}
        if count > AT_ONCE:
            return self._start(request, action, chosen, inputs, confirmation)
        results = [
            (
                row,
                carry_out_once(
                    operation=self._operations[action.name],
                    row=row,
                    actor=actor_of(request),
                    inputs=inputs,
                    confirmation=confirmation,
                ),
            )
            for row in list(chosen)
        ]
        self._say(request, results)
        back = self._back(request, request.POST)
        if action.alone and results and results[0][1].secret:
            return show_secret(
                self, request, title=action.title, secret=results[0][1].secret, back=back
            )
        return HttpResponseRedirect(back)

    def _start(
        self,
        request: HttpRequest,
        action: Action,
        chosen: "QuerySet[Any]",
        inputs: Mapping[str, str],
        confirmation: UUID,
    ) -> HttpResponse:
        try:
            started = bulk.start(
                operation=self._operations[action.name],
                objects=chosen,
                inputs=inputs,
                actor=actor_of(request),
                action_id=confirmation,
            )
        except DomainError as error:
            self.message_user(request, error.detail, messages.ERROR)
            return HttpResponseRedirect(self._back(request, request.POST))
        return HttpResponseRedirect(page_of(started))

    def _say(self, request: HttpRequest, results: list[tuple[Model, Result]]) -> None:
        done = [result.said for _, result in results if result.is_done]
        refused = [f"{row}: {result.said}" for row, result in results if not result.is_done]
        if not results:
            self.message_user(request, "Nothing is chosen that is still there.", messages.WARNING)
        if len(done) > MAX_SAID:
            self.message_user(request, f"{len(done)} done.", messages.SUCCESS)
        else:
            for said in done:
                self.message_user(request, said, messages.SUCCESS)
        for said in refused[:MAX_SAID]:
            self.message_user(request, said, messages.WARNING)
        if len(refused) > MAX_SAID:
            more = f"{len(refused) - MAX_SAID} more were refused."
            self.message_user(request, more, messages.WARNING)

    def _operation(self, action: Action) -> Operation:
        def act(row: Any, actor: Actor, inputs: Mapping[str, Any]) -> str | Revealed:
            done = action.method(self, row, actor, **inputs)
            said = done.said if isinstance(done, Revealed) else done
            LogEntry.objects.log_actions(actor.id, [row], CHANGE, said, single_object=True)
            return done

        meta = self.model._meta
        return Operation(
            name=f"{meta.app_label}.{meta.model_name}.{action.name}",
            title=f"{action.title}: {meta.verbose_name_plural}",
            model=self.model,
            act=act,
            read=action.read,
            permission=self._right(action),
        )

    def _right(self, action: Action) -> str:
        """The whole name of the permission."""
        if "." in action.permission:
            return action.permission
        codename = get_permission_codename(action.permission, self.opts)
        return f"{self.opts.app_label}.{codename}"

    def _fitting(self, request: HttpRequest, row: Model) -> list[Action]:
        acts = self.acts.values()
        return [one for one in acts if self.may_act(request, one) and one.when(row)]

    def _button(self, action: Action, row: Model) -> dict[str, Any]:
        query = urlencode({ACTION_CHECKBOX_NAME: row.pk})
        url = reverse(f"admin:{self._act_url_name()}", args=[action.name])
        return {
            "title": action.title,
            "icon": action.icon,
            "variant": action.variant,
            "attrs": {},
            "dialog": None,
            "path": f"{url}?{query}",
        }

    def _act_url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_act"

    def _act_url(self, action: Action, request: HttpRequest) -> str:
        """With the list's filters, which say what "all" are."""
        url = reverse(f"admin:{self._act_url_name()}", args=[action.name])
        query = _filters(request)
        return f"{url}?{query}" if query else url

    def _back(self, request: HttpRequest, given: Any) -> str:
        if _is_detail(request):
            ids = [one for one in given.getlist(ACTION_CHECKBOX_NAME) if one]
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            return reverse(name, args=[ids[0]]) if ids else list_of(self.model)
        return list_of(self.model, _filters(request))


def _is_detail(request: HttpRequest) -> bool:
    """Whether it began on an object's page, which links here."""
    return request.method == "GET" or request.POST.get("is_detail") == "1"


def _confirmation(request: HttpRequest) -> UUID | None:
    """The id of the page that asked; without one nobody was asked."""
    try:
        return UUID(request.POST.get("confirmation", ""))
    except ValueError:
        return None


def _filters(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop(ACTION_CHECKBOX_NAME, None)
    return query.urlencode()


def _number_of(rows: "QuerySet[Any]") -> int:
    """Counted to one more than a bulk action may have."""
    return len(rows.order_by().values_list("pk", flat=True)[: bulk.MAX_OBJECTS + 1])
