"""Whatever is edited, lost and killed in whatever order: in the end HubSpot has what is here."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.hubspot.server import Simulator
from sandbox.hubspot.settings import Scripted
from tests.crm.support import Shop, pass_time, states, step, sync

pytestmark = pytest.mark.django_db

EDITS = st.fixed_dictionaries(
    {},
    optional={
        "first_name": st.sampled_from([None, "A", "B"]),
        "last_name": st.sampled_from([None, "X"]),
        "email": st.sampled_from(["one@example.com", "two@example.com", "three@example.com"]),
    },
)
# What befalls a call: all goes well, its answer is lost, it never arrives, HubSpot has a bad moment.
FATES = st.sampled_from(
    [None, Scripted(0, after=True), Scripted(0), Scripted(502, after=True), Scripted(429, {})]
)


@pytest.mark.parametrize("missing_contact", ["create", "skip"])
@settings(max_examples=20)
@given(history=st.lists(st.one_of(EDITS, FATES), max_size=8))
def test_in_the_end_both_sides_are_equal(
    shop: Shop, hubspot: Simulator, missing_contact: str, history: list[Any]
) -> None:
    hubspot.reset()
    shop.connect(missing_contact=missing_contact)
    shop.forget_customers()
    if missing_contact == "skip":
        hubspot.add_contact("one@example.com", phone="123")
    customer = shop.add("one@example.com", first_name="A")

    for event in history:
        if isinstance(event, dict):
            shop.change(customer, **event)
        else:
            hubspot.script(*([event] if event else []))
            step()
            step()
    hubspot.forget_script()
    for _ in range(3):
        pass_time()
        sync()

    assert states() == {"synced": 1}
    (contact,) = hubspot.records.contacts.values()
    here = shop.client.get(f"/api/v1/customers/{customer['id']}").json()
    assert contact.properties["email"] == here["email"]
    assert (contact.properties.get("firstname") or None) == here["first_name"]
    assert (contact.properties.get("lastname") or None) == here["last_name"]
