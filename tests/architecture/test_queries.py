"""The cost of a list does not grow with what is in it."""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.architecture.conftest import MakeHousehold
from tests.architecture.household import Household

MOST = 4  # queries of one page


def test_a_list_takes_a_few_queries_however_long_it_is(make_household: MakeHousehold) -> None:
    household = make_household()
    few = queries_of_lists(household)
    for number in range(2, 5):
        make_household(household.client, number)

    many = queries_of_lists(household)

    assert many == few
    assert {name: count for name, count in few.items() if count > MOST} == {}


def queries_of_lists(household: Household) -> dict[str, int]:
    counts = {}
    for each in household.reads():
        url = each.url(household.ids)
        answer = household.client.get(url)
        if answer.headers["Content-Type"] == "application/json" and "next" in answer.json():
            with CaptureQueriesContext(connection) as queries:
                household.client.get(url)
            counts[str(each)] = len(queries)
    assert len(counts) >= 5
    return counts
