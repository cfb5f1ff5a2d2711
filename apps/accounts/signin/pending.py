"""Who has given the right password and owes a code: kept in a session in which nobody is signed in."""

import time

from django.contrib.auth import login
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User

_NAME = "signing_in"
_SECONDS = 600


def begin(request: HttpRequest, user: User, next_url: str) -> None:
    """Remember who it is, for ten minutes: in a session of a new name, which nobody can have planted."""
    request.session.cycle_key()
    request.session[_NAME] = {
        "user": str(user.pk),
        "backend": user.backend,
        "hash": user.get_session_auth_hash(),
        "at": time.time(),
        "next": next_url,
    }


def person(request: HttpRequest) -> User | None:
    """Who it is, if still so: the password unchanged, the person active, ten minutes not over."""
    kept = request.session.get(_NAME)
    if kept is None or time.time() - kept["at"] > _SECONDS:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True, is_staff=True).first()
    if user is None or not constant_time_compare(kept["hash"], user.get_session_auth_hash()):
        return None
    return user


def finish(request: HttpRequest, user: User) -> str:
    """Sign in who owes nothing any more; returns where they wanted to go."""
    kept = request.session.pop(_NAME)
    login(request, user, backend=kept["backend"])
    return str(kept["next"])
