"""Conditional requests, at every address that has an object."""

from tests.architecture.household import Household
from tests.architecture.operations import operations


def test_every_object_has_a_tag_and_is_not_sent_twice(household: Household) -> None:
    tagged = 0
    for each in household.reads():
        if "If-None-Match" in each.parameters("header"):
            url = each.url(household.ids)
            tag = household.client.get(url).headers["ETag"]
            again = household.client.get(url, headers={"If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b""), str(each)
            tagged += 1

    assert tagged >= 5


def test_the_schema_tells_where_an_unchanged_object_is_not_sent_again(household: Household) -> None:
    for each in household.reads():
        tag = household.client.get(each.url(household.ids)).headers.get("ETag")
        told = "If-None-Match" in each.parameters("header") and "304" in each.spec["responses"]
        assert told == bool(tag), str(each)


def test_no_change_is_made_to_what_has_changed_since(household: Household) -> None:
    before = household.everything()
    statuses = {}
    for each in operations():
        if "If-Match" in each.parameters("header"):
            url = each.url(household.ids)
            answer = household.client.request(
                each.method, url, each.body(), headers={"If-Match": '"999999"'}
            )
            statuses[str(each)] = answer.status_code

    assert {name: status for name, status in statuses.items() if status != 412} == {}
    assert len(statuses) >= 5
    assert household.everything() == before


def test_head_answers_as_get_does_without_the_body(household: Household) -> None:
    for each in household.reads():
        url = each.url(household.ids)
        read, head = household.client.get(url), household.client.request("HEAD", url)
        assert head.status_code == 200, str(each)
        assert head.content == b"", str(each)
        assert head.headers.get("ETag") == read.headers.get("ETag"), str(each)
