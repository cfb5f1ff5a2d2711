"""Signing in to the back office: the password, then the second factor of who has one."""

from datetime import timedelta
from math import ceil
from typing import Any, cast

import qrcode
from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from qrcode.image.svg import SvgPathImage
from unfold.forms import AuthenticationForm

from apps.accounts import secondfactor
from apps.accounts.history import note_change
from apps.accounts.models import SecondFactor, User
from apps.accounts.signin import pending
from apps.accounts.signin.forms import CodeForm, FirstCodeForm


class SignIn(LoginView):
    """Name and password; whoever has or needs a second factor is not signed in by them alone."""

    template_name = "admin/login.html"
    authentication_form = AuthenticationForm

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if admin.site.has_permission(request):
            return redirect(self.get_success_url())
        return super().get(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {
            **_frame(self.request, "Sign in"),
            "app_path": self.request.get_full_path(),
            **super().get_context_data(**kwargs),
        }

    def form_valid(self, form: Any) -> HttpResponse:
        user: User = form.get_user()
        if not secondfactor.is_asked(user):
            return super().form_valid(form)
        pending.begin(self.request, user, self.get_success_url())
        return redirect("second_factor")


@sensitive_post_parameters("code")
@never_cache
def ask_code(request: HttpRequest) -> HttpResponse:
    """The second step of signing in."""
    user = pending.person(request)
    if user is None:
        return redirect("admin:login")
    if not secondfactor.is_on(user):
        return redirect("new_second_factor")
    form = CodeForm(user, request.POST or None)
    if form.is_valid():
        return redirect(pending.finish(request, user))
    return render(request, "signin/code.html", {**_frame(request, "Enter a code"), "form": form})


@sensitive_post_parameters("code")
@never_cache
def make_factor(request: HttpRequest) -> HttpResponse:
    """Make a second factor: of one's own accord, or because nobody signs in without."""
    waiting = pending.person(request)
    user = waiting or request.user
    if not (isinstance(user, User) and (waiting or admin.site.has_permission(request))):
        return redirect("admin:login")
    if secondfactor.is_on(user):
        return redirect("second_factor" if waiting else "my_security")
    form = FirstCodeForm(user, request.POST or None)
    if form.is_valid():
        next_url = pending.finish(request, user) if waiting else settings.LOGIN_REDIRECT_URL
        update_session_auth_hash(request, user)
        note_change(str(user.pk), user, "Made a second factor.")
        return _show_backup_codes(request, form.backup_codes, next_url)
    # A page that is asked for anew has a new secret; a wrong code is tried again with the same.
    enrolment = (request.POST and secondfactor.begun(user)) or secondfactor.begin(user)
    context = {"form": form, "secret": enrolment.secret, "qr": _qr(enrolment.uri)}
    return render(request, "signin/new.html", {**_frame(request, "Second factor"), **context})


def my_security(request: HttpRequest) -> HttpResponse:
    """Each person's own page: the second factor, and being signed in elsewhere."""
    user = cast(User, request.user)  # admin_view lets nobody else pass
    if request.method == "POST" and "sign_out" in request.POST:
        secondfactor.end_sessions(user)
        update_session_auth_hash(request, user)
        note_change(str(user.pk), user, "Signed out everywhere else.")
        messages.success(request, "You are signed out everywhere but here.")
        return redirect("my_security")
    # A code is taken for what was asked for by name, and for nothing else.
    is_asked = not {"renew", "remove"}.isdisjoint(request.POST)
    form = CodeForm(user, request.POST if is_asked else None)
    if form.is_valid():
        if "renew" in request.POST:
            note_change(str(user.pk), user, "Made new backup codes.")
            return _show_backup_codes(request, secondfactor.renew_backup_codes(user), "my_security")
        secondfactor.remove(user)
        note_change(str(user.pk), user, "Took the second factor away.")
        messages.success(request, "You sign in with your password alone.")
        return redirect("my_security")
    factor = SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).first()
    context = {"form": form, "factor": factor, "required": settings.REQUIRE_SECOND_FACTOR}
    return render(request, "signin/security.html", {**_frame(request, "Security"), **context})


def locked_out(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Instead of the form, for who has given too many wrong passwords (`AXES_LOCKOUT_CALLABLE`)."""
    handler = AxesProxyHandler.get_implementation()
    moments = [
        moment
        for attempts in handler.get_user_attempts(request, credentials)
        for moment in attempts.values_list("attempt_time", flat=True)
    ]
    until = max(moments, default=timezone.now()) + settings.AXES_COOLOFF_TIME
    left = max(until - timezone.now(), timedelta(seconds=1)).total_seconds()
    context = {**_frame(request, "Wait a little"), "minutes": ceil(left / 60)}
    answer = render(request, "signin/locked.html", context, status=429)
    answer.headers["Retry-After"] = str(ceil(left))
    return answer


def _show_backup_codes(request: HttpRequest, codes: list[str], next_url: str) -> HttpResponse:
    """In the answer itself, so that they are kept nowhere."""
    context = {**_frame(request, "Backup codes"), "codes": codes, "next": next_url}
    return render(request, "signin/backup_codes.html", context)


def _frame(request: HttpRequest, title: str) -> dict[str, Any]:
    return {**admin.site.each_context(request), "title": title}


def _qr(uri: str) -> str:
    svg: str = qrcode.make(uri, image_factory=SvgPathImage).to_string(encoding="unicode")
    return mark_safe(svg)  # noqa: S308 - made of squares by the line above
