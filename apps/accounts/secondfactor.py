"""The second factor of staff: made, asked for, renewed, taken away (ADR 26)."""

import hashlib
import secrets
from base64 import b32decode, b32encode
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django_otp.oath import TOTP

from apps.accounts.models import SecondFactor, User
from apps.common import clock

ISSUER = "Tradepost"
BACKUP_CODES = 10
# A code of the minute before or after is taken too, for the sake of clocks.
TOLERANCE = 1
MAX_WAIT_SECONDS = 300


class CodeRefused(Exception):
    """The code is not taken; `str()` says why, to the person."""


class Enrolment(NamedTuple):
    """What an authenticator app must be told: its secret (base32), alone and within an `otpauth:` URI."""

    secret: str
    uri: str


def is_on(user: User) -> bool:
    """Whether a code is asked of this person."""
    return SecondFactor.objects.filter(user=user).exclude(confirmed_at=None).exists()


def is_asked(user: User) -> bool:
    """Whether this person cannot sign in with a password alone."""
    return settings.REQUIRE_SECOND_FACTOR or is_on(user)


@transaction.atomic
def begin(user: User) -> Enrolment:
    """A new secret, in force once a code of it has come; raises CodeRefused where one is in force."""
    User.objects.select_for_update().get(pk=user.pk)
    if is_on(user):
        raise CodeRefused("A second factor is on already; take it away first.")
    secret = b32encode(secrets.token_bytes(20)).decode()
    SecondFactor.objects.update_or_create(
        user=user, defaults={"secret": secret, "last_step": -1, "failures": 0, "failed_at": None}
    )
    return _enrolment(user, secret)


def begun(user: User) -> Enrolment | None:
    """What was begun and waits for its first code, if anything."""
    factor = SecondFactor.objects.filter(user=user, confirmed_at=None).first()
    return _enrolment(user, str(factor.secret)) if factor else None


@transaction.atomic
def _taken(user: User, code: str, *, confirmed: bool) -> str:
    """Take the code; what is wrong with it, or nothing. A wrong one counts, so nothing is raised here."""
    factor = (
        SecondFactor.objects.select_for_update()
        .filter(user=user, confirmed_at__isnull=not confirmed)
        .first()
    )
    if factor is None:
        return "There is no second factor to check this with. Begin again."
    now = clock.now()
    if factor.failed_at is not None:
        pause = min(2 ** (factor.failures - 1), MAX_WAIT_SECONDS)
        left = (factor.failed_at + timedelta(seconds=pause) - now).total_seconds()
        if left > 0:
            return f"Too many wrong codes. Wait {left:.0f} s and try again."
    if not (_match_step(factor, code, now.timestamp()) or _match_backup(factor, code)):
        factor.failures, factor.failed_at = factor.failures + 1, now
        factor.save(update_fields=["failures", "failed_at"])
        return "This code is not right, or was used before. Take the one that the app shows now."
    factor.failures, factor.failed_at = 0, None
    factor.confirmed_at = factor.confirmed_at or now
    factor.save(
        update_fields=["failures", "failed_at", "confirmed_at", "last_step", "backup_hashes"]
    )
    return ""


def check(user: User, code: str) -> None:
    """Take a code of the app, or a backup code, each once; raises CodeRefused.

    After n wrong ones in a row the next is looked at 2^(n-1) seconds later, at most five minutes.
    """
    if wrong := _taken(user, code, confirmed=True):
        raise CodeRefused(wrong)


def confirm(user: User, code: str) -> list[str]:
    """Put in force what was begun, and end the person's sessions; returns the backup codes, this once.

    Raises CodeRefused.
    """
    if wrong := _taken(user, code, confirmed=False):
        raise CodeRefused(wrong)
    end_sessions(user)
    return renew_backup_codes(user)


def renew_backup_codes(user: User) -> list[str]:
    """New backup codes in the place of all old ones; this is the only time that they can be seen."""
    plain = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(BACKUP_CODES)]
    SecondFactor.objects.filter(user=user).update(backup_hashes=[_digest(code) for code in plain])
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in plain]


def remove(user: User) -> bool:
    """Take the second factor away; False when there was none."""
    removed, _ = SecondFactor.objects.filter(user=user).delete()
    return bool(removed)


def end_sessions(user: User) -> None:
    """Sign the person out everywhere: every session made before is void, and `user` knows it."""
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=["session_epoch"])


def _enrolment(user: User, secret: str) -> Enrolment:
    label = quote(f"{ISSUER}:{user.get_username()}")
    query = urlencode({"secret": secret, "issuer": ISSUER})
    return Enrolment(secret=secret, uri=f"otpauth://totp/{label}?{query}")


def _match_step(factor: SecondFactor, code: str, at: float) -> bool:
    """Whether it is a code of the app, of a time step later than any that was taken."""
    digits = code.replace(" ", "")
    if not (len(digits) == 6 and digits.isascii() and digits.isdigit()):
        return False
    totp = TOTP(b32decode(str(factor.secret)))
    totp.time = at
    if not totp.verify(int(digits), TOLERANCE, min_t=factor.last_step + 1):
        return False
    factor.last_step = totp.t()
    return True


def _match_backup(factor: SecondFactor, code: str) -> bool:
    """Whether it is one of the backup codes, which is then gone."""
    digest = _digest(code.replace("-", "").replace(" ", "").lower())
    if factor.confirmed_at is None or digest not in factor.backup_hashes:
        return False
    factor.backup_hashes = [known for known in factor.backup_hashes if known != digest]
    return True


def _digest(code: str) -> str:
    """80 random bits need no slow hash."""
    return hashlib.sha256(code.encode()).hexdigest()
