"""Signing in to the back office: locked out for guessing, asked for a code, signed out."""

import re
from base64 import b32decode
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import F
from django.test import Client
from django_otp.oath import TOTP
from pytest_django.fixtures import Settings

from apps.accounts import secondfactor
from apps.accounts.models import SecondFactor, User
from apps.common import clock
from tests.conftest import MakeClient
from tests.support.backoffice import act

pytestmark = pytest.mark.django_db

LOGIN, CODE, NEW, OWN = (
    f"/admin/{page}/" for page in ("login", "second-factor", "second-factor/new", "security")
)
PASSWORD = "a good pass phrase"
HERE: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.1"}


@pytest.fixture
def boss() -> User:
    return User.objects.create_superuser("boss", password=PASSWORD)


def sign_in(client: Client, password: str = PASSWORD, name: str = "boss", **where: Any) -> Any:
    return client.post(LOGIN, {"username": name, "password": password}, **where)


def is_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def code_of(factor: SecondFactor, *, steps: int = 0) -> str:
    """What the app shows, now or so many steps of 30 s later."""
    totp = TOTP(b32decode(str(factor.secret)))
    totp.time = clock.now().timestamp() + 30 * steps
    return f"{totp.token():06d}"


def enrolled(client: Client) -> list[str]:
    """Make a second factor; returns the backup codes."""
    page = client.get(NEW)
    assert page.status_code == 200
    answer = client.post(NEW, {"code": code_of(SecondFactor.objects.get())})
    codes: list[str] = answer.context["codes"]
    return codes


@pytest.fixture
def factor(boss: User) -> SecondFactor:
    """The boss's, in force; no code of it was used yet."""
    secondfactor.begin(boss)
    SecondFactor.objects.update(confirmed_at=clock.now())
    return SecondFactor.objects.get()


# The password


def test_name_and_password_let_in(boss: User) -> None:
    client = Client()

    answer = client.post(
        f"{LOGIN}?next=/admin/orders/order/", {"username": "boss", "password": PASSWORD}
    )

    assert answer.headers["Location"] == "/admin/orders/order/"
    assert is_in(client)
    assert client.get(LOGIN).headers["Location"] == "/admin/"
    assert AccessLog.objects.get().username == "boss"


def test_nobody_is_sent_to_another_site(boss: User) -> None:
    answer = Client().post(
        f"{LOGIN}?next=https://evil.test/", {"username": "boss", "password": PASSWORD}
    )

    assert answer.headers["Location"] == "/admin/"


@pytest.mark.parametrize("person", [{"is_staff": False}, {"is_active": False}], ids=str)
def test_who_is_not_staff_or_not_active_stays_out(boss: User, person: dict[str, bool]) -> None:
    User.objects.filter(pk=boss.pk).update(**person)
    client = Client()

    answer = sign_in(client)

    assert answer.status_code == 200
    assert not is_in(client)


def test_who_guesses_is_locked_out_for_a_while(boss: User) -> None:
    client = Client()
    answers = [sign_in(client, "wrong", **HERE) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 900
    assert "15 minutes" in answers[-1].content.decode()
    assert sign_in(client, **HERE).status_code == 429  # with the right password
    assert not is_in(client)
    assert sign_in(Client(), REMOTE_ADDR="192.0.2.2").status_code == 302  # who is elsewhere gets in

    before = AccessAttempt.objects.get(ip_address="192.0.2.1").attempt_time
    sign_in(client, "wrong", **HERE)
    assert AccessAttempt.objects.get(ip_address="192.0.2.1").attempt_time == before
    AccessAttempt.objects.update(attempt_time=before - timedelta(minutes=11))
    assert "4 minutes" in sign_in(client, "wrong", **HERE).content.decode()
    AccessAttempt.objects.update(attempt_time=before - timedelta(minutes=16))
    assert sign_in(client, **HERE).status_code == 302


def test_who_guesses_at_many_names_is_locked_out_for_all_of_them(
    boss: User, settings: Settings
) -> None:
    settings.FAILURES_OF_AN_ADDRESS = 7
    answers = [sign_in(Client(), "wrong", f"person-{n}", **HERE) for n in range(8)]

    assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
    assert sign_in(Client(), **HERE).status_code == 429  # with the right password
    assert sign_in(Client(), REMOTE_ADDR="192.0.2.2").status_code == 302  # who is elsewhere gets in

    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=16))
    assert sign_in(Client(), **HERE).status_code == 302


def test_an_unknown_name_is_treated_like_a_known_one(boss: User) -> None:
    known = [sign_in(Client(), "wrong", **HERE) for _ in range(6)]
    unknown = [sign_in(Client(), "wrong", "ghost", **HERE) for _ in range(6)]

    assert [one.status_code for one in known] == [one.status_code for one in unknown]


def test_a_right_password_forgives_the_wrong_ones(boss: User) -> None:
    for _ in range(3):
        for _ in range(4):
            sign_in(Client(), "wrong", **HERE)
        assert sign_in(Client(), **HERE).status_code == 302


def test_an_administrator_lets_in_at_once(boss: User, admin_client: Client) -> None:
    for _ in range(5):
        sign_in(Client(), "wrong", **HERE)

    said = act(admin_client, "axes/accessattempt", "let_in", AccessAttempt.objects.get().pk)

    assert "boss can try again from 192.0.2.1." in said
    assert sign_in(Client(), **HERE).status_code == 302


def test_no_password_is_kept_of_a_failed_sign_in(boss: User, admin_client: Client) -> None:
    client = Client()
    client.post(
        f"{LOGIN}?password=in+the+query", {"username": "boss", "password": "nearly right"}, **HERE
    )

    with connection.cursor() as cursor:
        cursor.execute("SELECT a::text FROM axes_accessattempt a")
        kept = str(cursor.fetchall())
    assert "192.0.2.1" in kept
    assert "nearly right" not in kept
    assert "in the query" not in kept
    shown = admin_client.get(f"/admin/axes/accessattempt/{AccessAttempt.objects.get().pk}/change/")
    assert "csrfmiddlewaretoken" not in shown.content.decode().partition("<main")[2]


def test_the_address_is_what_our_own_proxy_saw(boss: User, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    proxy = {"REMOTE_ADDR": "10.0.0.1"}
    for number in range(5):
        chain = f"203.0.113.{number}, 192.0.2.7"  # the client writes what it likes in front
        sign_in(Client(), "wrong", HTTP_X_FORWARDED_FOR=chain, **proxy)

    assert sign_in(Client(), HTTP_X_FORWARDED_FOR="192.0.2.7", **proxy).status_code == 429
    assert sign_in(Client(), HTTP_X_FORWARDED_FOR="192.0.2.8", **proxy).status_code == 302


@pytest.mark.parametrize("forwarded", ["", "unknown", "192.0.2.1:80", "\u0000", ",,,", "x" * 300])
def test_an_address_that_is_none_stops_nobody(
    boss: User, settings: Settings, forwarded: str
) -> None:
    settings.TRUSTED_PROXIES = 1

    assert sign_in(Client(), HTTP_X_FORWARDED_FOR=forwarded, **HERE).status_code == 302
    assert str(AccessLog.objects.get().ip_address) == "192.0.2.1"


def test_without_a_proxy_nobody_says_where_they_are(boss: User) -> None:
    for number in range(5):
        sign_in(Client(), "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}", **HERE)

    assert sign_in(Client(), HTTP_X_FORWARDED_FOR="203.0.113.9", **HERE).status_code == 429


def test_api_keys_have_nothing_to_do_with_it(api: MakeClient) -> None:
    caller = api()
    for _ in range(10):
        wrong = Client().get("/api/v1/me", headers={"X-API-Key": "tp_wrong"}, **HERE)
        assert wrong.status_code == 401

    assert not AccessAttempt.objects.exists()
    assert caller.get("/api/v1/me").status_code == 200


# Sessions


def test_the_session_cookie_is_for_this_site_alone_and_ends(boss: User) -> None:
    cookie = sign_in(Client()).cookies["sessionid"]

    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 12 * 3600


def test_signing_in_makes_a_new_session(boss: User) -> None:
    client = Client()
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    planted = str(session.session_key)
    client.cookies["sessionid"] = planted
    sign_in(client)

    assert client.session.session_key != planted


def test_a_new_password_ends_the_other_sessions(boss: User) -> None:
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)
    new = "quite another phrase"

    answer = here.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert answer.status_code == 302
    assert is_in(here)
    assert not is_in(there)


@pytest.mark.parametrize("new", ["short one", "918273645546372819", "password1234"])
def test_a_password_that_is_easily_guessed_is_refused(boss: User, new: str) -> None:
    client = Client()
    sign_in(client)

    answer = client.post(
        "/admin/password_change/",
        {"old_password": PASSWORD, "new_password1": new, "new_password2": new},
    )

    assert answer.status_code == 200
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD)


def test_people_sign_themselves_out_everywhere_else(boss: User) -> None:
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)

    here.post(OWN, {"sign_out": "1"})

    assert is_in(here)
    assert not is_in(there)


def test_an_administrator_signs_people_out(boss: User, admin_client: Client) -> None:
    client = Client()
    sign_in(client)

    act(admin_client, "accounts/user", "sign_out", boss.pk)

    assert not is_in(client)
    assert is_in(admin_client)


# The second factor


def test_who_makes_one_is_asked_for_it_from_then_on(boss: User) -> None:
    client, elsewhere = Client(), Client()
    sign_in(client)
    sign_in(elsewhere)

    codes = enrolled(client)

    assert len(set(codes)) == 10
    assert is_in(client)
    assert not is_in(elsewhere)  # who was in by the password alone is out
    answer = sign_in(elsewhere)
    assert answer.headers["Location"] == CODE
    assert not is_in(elsewhere)
    answer = elsewhere.post(CODE, {"code": code_of(SecondFactor.objects.get(), steps=1)})
    assert answer.headers["Location"] == "/admin/"
    assert is_in(elsewhere)


def test_the_wish_where_to_go_survives_the_second_step(factor: SecondFactor) -> None:
    client = Client()
    client.post(f"{LOGIN}?next=/admin/orders/order/", {"username": "boss", "password": PASSWORD})

    answer = client.post(CODE, {"code": code_of(factor)})

    assert answer.headers["Location"] == "/admin/orders/order/"


def test_a_code_is_taken_once(factor: SecondFactor) -> None:
    code = code_of(factor)
    first, second = Client(), Client()
    sign_in(first)
    sign_in(second)

    first.post(CODE, {"code": code})
    again = second.post(CODE, {"code": code})

    assert is_in(first)
    assert "was used before" in again.content.decode()
    assert not is_in(second)


def test_clocks_may_differ_by_half_a_minute_and_not_by_two(factor: SecondFactor) -> None:
    client = Client()
    sign_in(client)

    client.post(CODE, {"code": code_of(factor, steps=4)})
    assert not is_in(client)
    SecondFactor.objects.update(failures=0, failed_at=None)
    client.post(CODE, {"code": code_of(factor, steps=-1)})
    assert is_in(client)


@pytest.mark.parametrize("code", ["", "000000x", "٠١٢٣٤٥", "12345", "1234567", "\u0000", "a" * 31])
def test_what_is_no_code_is_refused(factor: SecondFactor, code: str) -> None:
    client = Client()
    sign_in(client)

    assert client.post(CODE, {"code": code}).status_code == 200
    assert not is_in(client)


def test_wrong_codes_are_slowed_down_and_never_for_ever(factor: SecondFactor) -> None:
    client = Client()
    sign_in(client)
    wrong = f"{(int(code_of(factor)) + 1) % 1_000_000:06d}"

    client.post(CODE, {"code": wrong})
    SecondFactor.objects.update(failures=60)
    said = client.post(CODE, {"code": code_of(factor)}).content.decode()

    wait = re.search(r"Wait (\d+) s", said)
    assert wait is not None
    assert 200 < int(wait[1]) <= 300
    assert not is_in(client)
    SecondFactor.objects.update(failed_at=clock.now() - timedelta(seconds=301))
    client.post(CODE, {"code": code_of(factor)})
    assert is_in(client)
    assert SecondFactor.objects.get().failures == 0


def test_a_backup_code_is_good_for_once(boss: User) -> None:
    client = Client()
    sign_in(client)
    codes = enrolled(client)
    first, second = Client(), Client()
    for browser in (first, second):
        sign_in(browser)
        browser.post(CODE, {"code": codes[0].upper()})

    assert is_in(first)
    assert not is_in(second)
    assert len(SecondFactor.objects.get().backup_hashes) == 9


def test_no_secret_of_it_lies_in_the_open(boss: User) -> None:
    client = Client()
    sign_in(client)
    page = client.get(NEW)
    secret = str(SecondFactor.objects.get().secret)
    assert secret in page.content.decode()
    assert "<svg" in page.content.decode()
    assert "no-store" in page.headers["Cache-Control"]

    answer = client.post(NEW, {"code": code_of(SecondFactor.objects.get())})
    codes = answer.context["codes"]

    assert "no-store" in answer.headers["Cache-Control"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT f::text FROM accounts_secondfactor f")
        stored = str(cursor.fetchall())
    assert secret not in stored
    assert secret.encode().hex() not in stored
    for path in (OWN, NEW, f"/admin/accounts/user/{boss.pk}/change/"):
        shown = client.get(path, follow=True).content.decode()
        assert secret not in shown
        assert codes[0] not in shown
    assert codes[0] not in stored


def test_a_password_alone_makes_no_new_factor(factor: SecondFactor) -> None:
    client = Client()
    sign_in(client)

    assert client.get(NEW).headers["Location"] == CODE
    assert client.post(NEW, {"code": code_of(factor)}).headers["Location"] == CODE
    assert client.get(OWN).headers["Location"].startswith(LOGIN)
    assert SecondFactor.objects.get().secret == factor.secret


def test_the_second_step_is_for_who_took_the_first(factor: SecondFactor) -> None:
    client = Client()
    assert client.get(CODE).headers["Location"] == LOGIN
    assert client.get(NEW).headers["Location"] == LOGIN

    sign_in(client)
    User.objects.get().set_password("changed meanwhile")
    person = User.objects.get()
    person.set_password("changed meanwhile")
    person.save()
    assert client.post(CODE, {"code": code_of(factor)}).headers["Location"] == LOGIN

    sign_in(client, "changed meanwhile")
    session = client.session
    session["signing_in"] = {**session["signing_in"], "at": session["signing_in"]["at"] - 601}
    session.save()
    assert client.post(CODE, {"code": code_of(factor)}).headers["Location"] == LOGIN


def test_where_one_is_required_it_is_made_at_the_next_sign_in(
    boss: User, settings: Settings
) -> None:
    settings.REQUIRE_SECOND_FACTOR = True
    client = Client()

    assert sign_in(client).headers["Location"] == CODE
    assert client.get(CODE).headers["Location"] == NEW
    assert not is_in(client)
    client.get(NEW)
    wrong = client.post(NEW, {"code": "x"})
    assert str(SecondFactor.objects.get().secret) in wrong.content.decode()  # the same as before
    SecondFactor.objects.update(failed_at=None)
    answer = client.post(NEW, {"code": code_of(SecondFactor.objects.get())})

    assert answer.context["next"] == "/admin/"
    assert is_in(client)


def test_people_renew_backup_codes_and_take_it_away_by_a_code(boss: User) -> None:
    client = Client()
    sign_in(client)
    old = enrolled(client)

    refused = client.post(OWN, {"code": "000", "remove": "1"})
    assert "not right" in refused.content.decode()
    SecondFactor.objects.update(failed_at=None)
    new = client.post(OWN, {"code": old[0], "renew": "1"}).context["codes"]
    assert not set(new) & set(old)
    client.post(OWN, {"code": new[0], "remove": "1"})

    assert not SecondFactor.objects.exists()
    assert sign_in(Client()).headers["Location"] == "/admin/"
    said = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert said == [
        "Made a second factor.",
        "Made new backup codes.",
        "Took the second factor away.",
    ]


def test_an_administrator_takes_a_lost_one_away(factor: SecondFactor, admin_client: Client) -> None:
    act(admin_client, "accounts/user", "reset_second_factor", factor.pk)

    assert sign_in(Client()).headers["Location"] == "/admin/"
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("admin", str(factor.pk))


def test_between_password_and_code_the_session_has_a_new_name(factor: SecondFactor) -> None:
    """Whoever planted the session before would stand where only the code is missing."""
    client = Client()
    client.session.save()
    planted = client.session.session_key
    assert planted is not None
    client.cookies["sessionid"] = planted

    sign_in(client)

    assert client.session.session_key != planted
    assert not Session.objects.filter(session_key=planted).exists()
    assert client.get(CODE).status_code == 200


def test_a_link_local_address_stops_nobody(boss: User) -> None:
    client = Client(REMOTE_ADDR="fe80::1%eth0")

    assert sign_in(client, "wrong").status_code == 200
    assert sign_in(client).status_code == 302
    assert AccessLog.objects.get().ip_address == "fe80::1"


def test_a_code_alone_takes_nothing_away_and_is_not_used_up(factor: SecondFactor) -> None:
    client = Client()
    client.force_login(User.objects.get())
    code = code_of(factor)

    client.post(OWN, {"code": code})
    assert SecondFactor.objects.exists()
    client.post(OWN, {"code": code, "remove": "1"})

    assert not SecondFactor.objects.exists()
