"""Another account's objects do not exist: not to read, not to change, at no address whatever."""

from tests.architecture.household import Household
from tests.architecture.operations import operations
from tests.support import ApiClient

# PUT here makes an object of the caller's own, under a name that it chooses.
UPSERTS = {"put_product_by_sku", "put_customer"}
# What an account has one of, or none.
SINGLE = {"get_crm_connection"}


def test_a_household_has_something_at_every_address(household: Household) -> None:
    parameters = {name for each in operations() for name in each.parameters("path")}

    assert parameters <= household.ids.keys()
    for each in household.reads():
        answer = household.client.get(each.url(household.ids))
        assert answer.status_code == 200, str(each)
        if each.parameters("path"):  # the owner reads what the tests below look for in vain
            assert read_marks(answer.getvalue(), household), str(each)


def test_a_stranger_finds_nothing_by_the_ids_of_another(
    household: Household, stranger: ApiClient
) -> None:
    before = household.everything()
    let_through = {}

    for each in operations():
        if not each.parameters("path") or each.spec["operationId"] in UPSERTS:
            continue
        for body in [each.body(), {}]:
            answer = stranger.request(each.method, each.url(household.ids), body)
            if answer.status_code != 404 and not (body == {} and answer.status_code == 400):
                let_through[str(each)] = answer.status_code
            assert not read_marks(answer.getvalue(), household, but=each.url(household.ids)), str(
                each
            )

    assert let_through == {}
    assert household.everything() == before


def test_what_a_stranger_makes_under_the_same_name_is_its_own(
    household: Household, stranger: ApiClient
) -> None:
    before = household.everything()
    upserts = [each for each in operations() if each.spec["operationId"] in UPSERTS]

    for each in upserts:
        answer = stranger.request(each.method, each.url(household.ids), each.body())
        assert answer.status_code == 201, str(each)
        assert answer.json()["id"] not in household.ids.values()

    assert len(upserts) == len(UPSERTS)
    assert household.everything() == before


def test_no_list_shows_a_stranger_anything(household: Household, stranger: ApiClient) -> None:
    for each in operations():
        if each.method == "GET" and not each.parameters("path"):
            answer = stranger.get(each.url())
            expected = 404 if each.spec["operationId"] in SINGLE else 200
            assert answer.status_code == expected, str(each)
            assert not read_marks(answer.getvalue(), household), str(each)


def test_no_filter_shows_a_stranger_anything(household: Household, stranger: ApiClient) -> None:
    for each in operations():
        if each.method == "GET":
            for name in each.parameters("query"):
                for mark in household.marks():
                    answer = stranger.request("GET", each.url(), query={name: mark})
                    assert answer.status_code in (200, 400, 404), str(each)
                    assert not read_marks(answer.getvalue(), household, but=mark), str(each)


def read_marks(content: bytes, household: Household, but: str = "") -> list[str]:
    """The marks of the household in an answer; what was asked with does not count."""
    text = content.decode()
    return [mark for mark in household.marks() if mark in text and mark not in but]
