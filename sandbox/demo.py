"""`make demo`: a deal, an order and a customer, told as they happen, against the Tradepost that `make run` started.

Nothing is simulated but the outside world: the calls go over HTTP with the demo keys, the webhooks
arrive at a real server on the loopback interface, which verifies them with `standardwebhooks`.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from sandbox.client import ApiError, Client, data_dir, read_demo
from sandbox.receiver import Received, Receiver

PATIENCE_SECONDS = 15.0


class Story:
    """The cast and what they do; each step prints what was asked and what came of it."""

    def __init__(
        self, demo: dict[str, Any], receiver: Receiver, cast: ExitStack, simulator: str
    ) -> None:
        self.demo = demo
        self.simulator = simulator
        self.receiver = receiver
        self.clients = {
            slug: Client(demo["base_url"], account["api_key"])
            for slug, account in demo["accounts"].items()
        }
        for client in self.clients.values():
            cast.callback(client.close)
        self.run = uuid4().hex[:8]

    def tell(self) -> None:
        with self.listening("buyer", "deal.*"), self.listening("storefront", "order.*"):
            self.authorise()
            self.change(self.post_deal())
            self.sell_out(self.stock_up())
        self.read_feed()
        if self.simulator:
            with self.listening("crm", "customer.*"):
                self.follow_to_hubspot()

    @contextmanager
    def listening(self, slug: str, types: str) -> Iterator[None]:
        """Register an endpoint of this account at the receiver, for as long as the story lasts."""
        path = f"/{slug}"
        endpoint = self.clients[slug].call(
            "POST",
            "/webhook-endpoints",
            {"url": self.receiver.url(path), "event_types": [types], "description": "make demo"},
        )
        self.receiver.trust(path, endpoint["secret"])
        say(f"{slug} registers {self.receiver.url(path)} for {types}")
        note("the secret is shown this once; the receiver verifies every call with it")
        try:
            yield
        finally:
            self.clients[slug].call("DELETE", f"/webhook-endpoints/{endpoint['id']}")

    def authorise(self) -> None:
        say("seller lets buyer see its deals")
        self.clients["seller"].call("POST", "/authorizations", {"buyer": "buyer"})
        note("other-buyer is not authorised and will hear nothing")

    def post_deal(self) -> dict[str, Any]:
        say("seller posts a deal: 3 items, 120.00 EUR, 10 % off")
        deal: dict[str, Any] = self.timed(
            "seller",
            "POST",
            "/deals",
            {
                "name": f"Concert tickets, row 4 ({self.run})",
                "total_price": 12000,
                "currency": "EUR",
                "discount": {"type": "percentage", "amount": 10},
                "items": [{"name": f"Seat {seat}", "price": 4000} for seat in (11, 12, 13)],
            },
            "buyer",
            "deal.created",
        )
        return deal

    def change(self, deal: dict[str, Any]) -> None:
        say("seller lowers the price to 99.00 EUR")
        self.timed(
            "seller",
            "PATCH",
            f"/deals/{deal['id']}",
            {"total_price": 9900},
            "buyer",
            "deal.updated",
        )

    def stock_up(self) -> dict[str, Any]:
        say("storefront puts 5 mugs on the shelf")
        shop = self.clients["storefront"]
        storefront = {"code": f"demo-{self.run}", "name": "Demo shop", "currency": "EUR"}
        shop.call("POST", "/storefronts", storefront)
        product = {"sku": f"MUG-{self.run}", "name": "Mug", "price": 1250, "currency": "EUR"}
        shop.call("POST", "/products", {**product, "stock": 5})
        return {"storefront": storefront["code"], "sku": product["sku"]}

    def sell_out(self, shelf: dict[str, Any]) -> None:
        order = {
            "storefront": shelf["storefront"],
            "customer_id": "customer-1",
            "items": [{"sku": shelf["sku"], "quantity": 4}],
        }
        say("storefront orders 4 of them")
        self.timed("storefront", "POST", "/orders", order, "storefront", "order.created")
        say("storefront orders 4 more, with 1 left")
        try:
            self.clients["storefront"].call("POST", "/orders", order)
        except ApiError as error:
            short = error.problem["errors"][0]
            note(
                f"{error.status} {error.problem['code']}: {short['sku']} has {short['available']},"
                f" {short['requested']} were asked for; nothing was reserved"
            )

    def read_feed(self) -> None:
        say("buyer, who lost its notes, reads the event feed from the beginning")
        events: list[dict[str, Any]] = []
        after = 0
        while page := self.clients["buyer"].call("GET", f"/events?after={after}")["results"]:
            events += page
            after = page[-1]["position"]
        for event in events[-2:]:
            note(f"position {event['position']}: {event['type']}")
        note("the same events that were sent; asking again after the last position misses nothing")

    def follow_to_hubspot(self) -> None:
        """A customer change on its way to HubSpot, which is simulated: no token leaves the machine."""
        crm = self.clients["crm"]
        say(f"crm connects to the simulated HubSpot at {self.simulator}")
        crm.call("PUT", "/crm/connection", {"access_token": "made-up-for-the-demo"})
        say("crm makes a customer; HubSpot is told within a few seconds, of up to 100 at once")
        email = f"ada-{self.run}@example.com"
        body = {"email": email, "first_name": "Ada", "last_name": "Lovelace"}
        customer = self.timed("crm", "POST", "/customers", body, "crm", "customer.synced")
        self.show_contact(customer)
        say("she moves: her e-mail changes, and HubSpot's contact with it")
        path = f"/customers/{customer['id']}"
        moved = {"email": f"countess-{self.run}@example.com"}
        self.timed("crm", "PATCH", path, moved, "crm", "customer.synced")
        self.show_contact(customer)
        self.come_back(customer)
        told = crm.call("GET", "/crm/connection")["hubspot"]
        note(f"{told['calls']} calls so far, for {told['changed']} changed customers")

    def come_back(self, customer: dict[str, Any]) -> None:
        """Somebody changes the contact in HubSpot, whose signed webhook brings it here."""
        say("somebody in HubSpot writes her first name in full; a signed webhook tells of it")
        path = f"/customers/{customer['id']}"
        contact_id = self.clients["crm"].call("GET", path)["crm"]["contact_id"]
        address = f"{self.simulator}/_control/contacts"
        headers = {"Content-Type": "application/json"}
        edit = {"id": contact_id, "properties": {"firstname": "Augusta Ada"}}
        body = json.dumps(edit).encode()
        heard = len(self.receiver.received)
        changed = time.perf_counter()
        with urlopen(Request(address, body, headers, method="PATCH")):
            pass
        self.expect("crm", "customer.updated", customer["id"], changed, heard)

    def show_contact(self, customer: dict[str, Any]) -> None:
        state = self.clients["crm"].call("GET", f"/customers/{customer['id']}")["crm"]
        with urlopen(f"{self.simulator}/_control/contacts") as answer:
            contacts = json.load(answer)["results"]
        (contact,) = (one for one in contacts if one["id"] == state["contact_id"])
        note(f"in HubSpot: contact {contact['id']}, {contact['properties']['email']}")

    def timed(
        self, slug: str, method: str, path: str, body: Any, listener: str, kind: str
    ) -> dict[str, Any]:
        """Make the call, wait for its webhook, print both with their times."""
        heard = len(self.receiver.received)
        started = time.perf_counter()
        answer: dict[str, Any] = self.clients[slug].call(method, path, body)
        answered = time.perf_counter()
        note(f"{method} {path} answered after {milliseconds(answered - started)}")
        self.expect(listener, kind, answer["id"], answered, heard)
        return answer

    def expect(self, listener: str, kind: str, subject: str, since: float, heard: int) -> None:
        """Wait for the webhook, not one of those `heard` before, and print it with its time."""
        call = self.receiver.wait_for(
            lambda call: (
                call.path == f"/{listener}"
                and call.body["type"] == kind
                and call.body["data"]["object"]["id"] == subject
            ),
            PATIENCE_SECONDS,
            after=heard,
        )
        if call is None:
            raise SystemExit(f"    no {kind} arrived within {PATIENCE_SECONDS:.0f} s")
        show(call, call.at - since)


def show(call: Received, after_answer: float) -> None:
    moment = (
        f"{milliseconds(after_answer)} after the answer"
        if after_answer > 0
        else f"{milliseconds(-after_answer)} before the answer"
    )
    note(f"{call.body['type']} arrived {moment}, signature verified")
    for field, (old, new) in call.body["data"].get("changes", {}).items():
        note(f"  {field}: {json.dumps(old)} -> {json.dumps(new)}")


def simulated_hubspot(data_dir: Path) -> str:
    """The address of the simulator that `make run` started; "" when it was given a HubSpot."""
    for line in (data_dir / "services.env").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "HUBSPOT_BASE_URL":
            return value
    return ""


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def say(line: str) -> None:
    print(f"\n* {line}", flush=True)


def note(line: str) -> None:
    print(f"    {line}", flush=True)


def main() -> None:
    demo = read_demo()
    try:
        with Receiver() as receiver, ExitStack() as cast:
            Story(demo, receiver, cast, simulated_hubspot(data_dir())).tell()
    except (ConnectionError, TimeoutError):
        sys.exit(f"Nothing answers at {demo['base_url']}: start it with `make run` first.")
    print(f"\nThat was all real. The same calls, to try by hand: {demo['base_url']}/api/docs/")


if __name__ == "__main__":
    main()
