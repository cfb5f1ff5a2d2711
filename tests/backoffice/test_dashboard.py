"""The dashboard: what it shows of whom to whom, and that one panel's trouble is no other's."""

import re
import threading
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test import Client
from django.utils.html import escape

from apps.accounts.models import User
from apps.backoffice.dashboard.page import PANELS, Entry
from apps.backoffice.dashboard.panel import Trend, ago, compact, of_day_before, span, trend
from apps.common import clock
from apps.common.ids import uuid7
from apps.common.models import Heartbeat, JobRun
from apps.webhooks.enums import EndpointStatus
from apps.webhooks.models import Due, Endpoint
from tests.architecture.household import Household
from tests.conftest import MakeAccount, MakeClient
from tests.support import Receiver
from tests.support.outages import redis_at, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


@pytest.fixture
def workers() -> None:
    """Somebody works."""
    for queue in ("fast", "slow"):
        Heartbeat.objects.create(worker=f"{queue}@here", queue=queue)


def polled(client: Client) -> str:
    answer = client.get("/admin/dashboard")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    return answer.content.decode()


def shown(page: str) -> set[str]:
    return {entry.key for entry in PANELS if f'id="panel-{entry.key}"' in page}


def test_links_to_deliveries_take_the_filter_that_reads_an_index(
    boss: Client, workers: None, api: MakeClient, receiver: Receiver
) -> None:
    Household(api(), receiver, api().account.slug)
    page = polled(boss)

    addresses = {
        unescape(one) for one in re.findall(r'href="(/admin/webhooks/delivery/\?[^"]+)"', page)
    }

    assert addresses
    for address in addresses:
        assert boss.get(address).context["cl"].has_active_filters, address


def test_an_empty_installation_says_what_to_do_first(boss: Client, workers: None) -> None:
    page = boss.get("/admin/").content.decode()

    assert "Nothing has happened here yet" in page
    assert "All is well" in page
    for call in ("POST /storefronts", "POST /deals", "POST /streams", "POST /customers"):
        assert call in page
    assert shown(page) == {entry.key for entry in PANELS}


def test_a_household_fills_every_panel_and_every_link_opens(
    boss: Client, workers: None, api: MakeClient, receiver: Receiver
) -> None:
    buyer = api()
    Household(api(), receiver, buyer.account.slug)

    page = polled(boss)

    assert "Nothing has happened" not in page
    assert "Not available" not in page
    assert 'class="hint"' not in page
    addresses = {unescape(found) for found in re.findall(r'href="([^"]+)"', page)}
    assert len(addresses) > 15
    for address in addresses:
        answer = boss.get(address)
        assert answer.status_code == 200, address


def test_who_is_not_signed_in_is_led_to_the_door() -> None:
    answer = Client().get("/admin/dashboard")

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")
    assert Client().post("/admin/dashboard").status_code in (302, 405)


@pytest.mark.parametrize("entry", PANELS, ids=lambda entry: entry.key)
def test_what_somebody_may_not_see_is_not_in_it(entry: Entry, workers: None) -> None:
    """Each right of a panel is needed, and with them all nothing else is shown."""
    user = User.objects.create_user("clerk", is_staff=True)
    client = Client()
    client.force_login(user)
    for right in entry.rights:
        assert shown(polled(client)) == set(), right
        app_label, codename = right.split(".")
        user.user_permissions.add(
            Permission.objects.get(codename=codename, content_type__app_label=app_label)
        )

    page = polled(client)

    assert shown(page) == {entry.key}
    assert shown(client.get("/admin/").content.decode()) == {entry.key}


def test_a_panel_that_cannot_be_read_says_so_and_spoils_no_other(
    boss: Client, workers: None
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE webhooks_endpoint RENAME TO hidden")

    page = polled(boss)

    assert page.count("Not available at present") == 1
    assert "Webhooks: the figures are not available" in page
    assert "Something is wrong" in page
    assert shown(page) == {entry.key for entry in PANELS}


@pytest.mark.django_db(transaction=True)
def test_a_panel_whose_table_is_locked_is_given_up_in_time(boss: Client, workers: None) -> None:
    """Nobody waits for the locks of a migration: the statement's limit ends it."""
    locked, done = threading.Event(), threading.Event()

    def lock() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE crm_customer IN ACCESS EXCLUSIVE MODE")
            locked.set()
            done.wait(20)
        connection.close()

    holder = threading.Thread(target=lock)
    holder.start()
    try:
        assert locked.wait(10)
        page = polled(boss)
    finally:
        done.set()
        holder.join()

    assert "HubSpot: the figures are not available" in page
    assert page.count("Not available at present") == 1


def test_without_redis_the_rest_is_there(boss: Client, workers: None) -> None:
    with refused() as url, redis_at(url):
        page = polled(boss)

    assert "Redis does not answer" in page
    assert "queue not available" in page
    assert "Not available at present" not in page


def test_a_worker_that_is_gone_is_trouble(boss: Client) -> None:
    Heartbeat.objects.create(worker="fast@here", queue="fast")
    Heartbeat.objects.create(worker="slow@here", queue="slow")
    Heartbeat.objects.filter(queue="slow").update(seen_at=clock.now() - timedelta(minutes=3))

    page = polled(boss)

    assert "Something is wrong" in page
    assert "The slow worker was last seen 3 min ago" in page
    assert "The fast worker" not in page


def test_jobs_that_fail_are_off_or_late_are_told(boss: Client, workers: None) -> None:
    JobRun.objects.create(name="orders.expire", error="Boom()", started_at=clock.now())
    JobRun.objects.create(name="crm.sync", is_on=False, started_at=clock.now())
    late = clock.now() - timedelta(hours=1)
    JobRun.objects.create(name="webhooks.deliver", started_at=late)
    JobRun.objects.create(name="events.trim", started_at=late)  # within ten of its intervals

    page = polled(boss)

    assert "1 job fails" in page
    assert "2 jobs are off or late" in page
    assert "2 things to look at" in page
    for name, word in (("orders.expire", "failed"), ("crm.sync", "switched off")):
        assert name in page
        assert word in page
    assert "events.trim" not in page


def test_deliveries_that_nobody_sends_are_trouble(
    boss: Client, workers: None, make_account: MakeAccount
) -> None:
    account = make_account()
    Endpoint.objects.create(
        account=account,
        url="https://a.example",
        event_types=["*"],
        secret="s",
        status=EndpointStatus.FAILING,
    )
    Due.objects.create(
        id=uuid7(),
        endpoint_id=uuid7(),
        due_at=clock.now() - timedelta(minutes=5, seconds=30),
        ready=True,
    )

    page = polled(boss)

    assert "Deliveries wait to be sent, the first for 5 min" in page
    assert "1 webhook endpoint fails" in page
    assert "https://a.example" in page


def test_names_cannot_break_out(boss: Client, workers: None, make_account: MakeAccount) -> None:
    name = '"><script>alert(1)</script>'
    Endpoint.objects.create(
        account=make_account(),
        url=name,
        event_types=["*"],
        secret="s",
        status=EndpointStatus.FAILING,
    )

    page = polled(boss)

    assert name not in page
    assert escape(name) in page


def test_nothing_in_the_page_needs_more_than_a_strict_policy_allows(
    boss: Client, workers: None
) -> None:
    page = polled(boss)

    assert not re.findall(r"<script|<style|\sstyle=|\son\w+=|https?://", page)


def test_words_for_numbers() -> None:
    assert [span(seconds) for seconds in (0.34, 4.25, 59, 150, 7300, 400_000)] == [
        "340 ms",
        "4.2 s",
        "59 s",
        "2 min",
        "2 h",
        "4 d",
    ]
    assert [compact(n) for n in (0, 987, 12_345, 4_561_000, 2e9)] == [
        "0",
        "987",
        "12.3k",
        "4.56M",
        "2bn",
    ]
    assert trend(110, 100) == Trend("+10 %", is_up=True)
    assert trend(0, 200) == Trend("-100 %", is_up=False)
    assert trend(5, 0) is None
    now = clock.now()
    assert ago(None, now) == "never"
    assert ago(now - timedelta(minutes=5), now) == "5 min ago"
    assert ago(now + timedelta(seconds=1), now) == "0 ms ago"
    assert of_day_before([1, 2, 4], now.replace(minute=30, second=0)) == 5
