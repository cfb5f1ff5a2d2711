"""An account that owns one of everything, made through the API as a customer would make it."""

from typing import Any
from uuid import UUID

from apps.accounts.selectors import account_by_reference
from apps.common.actor import system
from apps.deals.services.bids import place_bid
from tests.architecture.operations import Operation, operations
from tests.support import Answer, ApiClient, Receiver, run_jobs

# Lists of what happens, not of what is owned.
_UNSTABLE = ("/events",)


class Household:
    """`ids` fits every parameter of every path: a new one is added here, with what makes its object."""

    def __init__(self, client: ApiClient, receiver: Receiver, buyer: str, number: int = 1) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self._secrets: list[str] = [client.plain_key]
        self._make_all(receiver, buyer, number)

    def _make_all(self, receiver: Receiver, buyer: str, number: int) -> None:
        endpoint = self._make(
            "webhook-endpoints",
            {"url": receiver.url(f"/household-{number}"), "event_types": ["*"]},
            "endpoint_id",
        )
        self._make("authorizations", {"buyer": buyer}, "authorization_id")
        self._make(
            "deals",
            {
                "name": f"Household deal {number}",
                "total_price": 1000,
                "currency": "EUR",
                "items": [{"name": "a thing", "price": 900}],
            },
            "deal_id",
        )
        self.ids["bid_id"] = self._bid(buyer, self.ids["deal_id"])
        self.ids["invoice_id"] = self._sell(buyer, number)
        taken_back = f"/api/v1/invoices/{self._sell(buyer, number)}/void"
        credit_note = self.client.post(taken_back, {"reason": "household"}).json()["credit_note"]
        self.ids["credit_note_id"] = credit_note["id"]
        storefront = {"code": f"household-{number}", "name": "Household shop", "currency": "EUR"}
        self._make("storefronts", storefront, "storefront_id")
        self.ids["sku"] = f"HOUSEHOLD-{number}"
        product = {
            "sku": self.ids["sku"],
            "name": "Household product",
            "price": 5,
            "currency": "EUR",
        }
        self._make("products", {**product, "stock": 9}, "product_id")
        order = {
            "storefront": storefront["code"],
            "customer_id": f"household-customer-{number}",
            "items": [{"sku": self.ids["sku"], "quantity": 2}],
        }
        self._make("orders", order, "order_id")
        self._fill_order(f"/api/v1/orders/{self.ids['order_id']}", f"household-{number}")
        customer = {
            "email": f"household-{number}@example.com",
            "external_id": f"household-{number}",
        }
        self._make("customers", customer, "customer_id")
        self.ids["external_id"] = customer["external_id"]
        self.client.post(f"/api/v1/customers/{self.ids['customer_id']}/sync")
        self._secrets.append(f"household-token-{number}")
        connection = {"access_token": self._secrets[-1]}
        assert self.client.put("/api/v1/crm/connection", connection).status_code == 200
        self._fetch(receiver, number)
        key = {"name": "household key", "scopes": ["orders:read"]}
        self._secrets.append(self._make("api-keys", key, "key_id")["api_key"])
        self._make(f"webhook-endpoints/{endpoint['id']}/test", {}, "delivery_id")
        replay = {"since": "2026-01-01T00:00:00Z", "only": "all"}
        self._make(f"webhook-endpoints/{endpoint['id']}/replays", replay, "replay_id")
        self._secrets.append(endpoint["secret"])
        run_jobs()
        (event, *_) = self.client.get("/api/v1/events").json()["results"]
        self.ids["event_id"] = event["id"]

    def _fetch(self, receiver: Receiver, number: int) -> None:
        """A stream with a secret, and a run of it that is done when the jobs have run."""
        body = b'[{"id": 1, "name": "household record"}, {"name": "household record without id"}]'
        path = f"/household-records-{number}"
        receiver.answer(path, Answer(200, body))
        self._secrets.append(f"household-stream-secret-{number}")
        auth = {"type": "bearer", "token": self._secrets[-1]}
        stream = {"name": "Household stream", "url": receiver.url(path), "auth": auth}
        made = self._make("streams", {**stream, "primary_key": "id"}, "stream_id")
        self._make(f"streams/{made['id']}/run", {}, "run_id")
        self.ids["consumer"] = f"household-reader-{number}"
        reader = f"/api/v1/streams/{made['id']}/consumers/{self.ids['consumer']}/commit"
        assert self.client.post(reader, {"offset": 0}).status_code == 200

    def _make(self, collection: str, body: dict[str, Any], parameter: str) -> dict[str, Any]:
        answer = self.client.post(f"/api/v1/{collection}", body)
        assert 200 <= answer.status_code < 300, (collection, answer.content)
        made: dict[str, Any] = answer.json()
        self.ids[parameter] = made["id"]
        return made

    def _sell(self, buyer: str, number: int) -> str:
        """Sell a deal to the buyer; returns the id of its invoice."""
        terms = {"name": f"Household sale {number}", "total_price": 1000, "currency": "EUR"}
        items = [{"name": "a thing", "price": 900}]
        deal = self.client.post("/api/v1/deals", {**terms, "items": items}).json()
        bid_id = self._bid(buyer, deal["id"])
        assert self.client.post(f"/api/v1/bids/{bid_id}/accept").status_code == 200
        (invoice,) = self.client.get("/api/v1/invoices", deal=deal["id"]).json()["results"]
        return str(invoice["id"])

    def _bid(self, buyer: str, deal_id: str) -> str:
        """A bid of the buyer, who has no key here; returns its id."""
        bidder_id, actor = account_by_reference(buyer).id, system("household")
        bid = place_bid(bidder_id=bidder_id, deal_id=UUID(deal_id), amount=900, actor=actor)
        return str(bid.id)

    def _fill_order(self, order: str, mark: str) -> None:
        """Something in each of its lists; it stays confirmed, and has an item left to ship."""
        assert self.client.patch(order, {"status": "confirmed"}).status_code == 200
        one = [{"sku": self.ids["sku"], "quantity": 1}]
        for what, body in (
            ("payments", {"kind": "authorized", "amount": 5, "reference": mark}),
            ("shipments", {"items": one, "tracking_number": mark}),
            ("returns", {"reason": mark}),
        ):
            answer = self.client.post(f"{order}/{what}", body)
            assert answer.status_code == 201, answer.content

    def marks(self) -> list[str]:
        """Texts that no stranger may ever read: ids, secrets, names."""
        return [*self.ids.values(), *self._secrets, "ousehold", str(self.client.account.id)]

    def reads(self) -> list[Operation]:
        """Every call that only reads."""
        return [each for each in operations() if each.method == "GET"]

    def everything(self) -> dict[str, bytes]:
        """What the owner reads at every address just now."""
        return {
            str(each): self.client.get(each.url(self.ids)).getvalue()
            for each in self.reads()
            if not each.path.endswith(_UNSTABLE)
        }
