"""Interactions and facts over HTTP."""

import uuid
from typing import Any

import pytest

from ops.sandbox.launch import Sandbox
from tests.sandbox.client import Client

UNKNOWN = "/interactions/7b1f0a52-6a4c-4d0e-8a49-0d6c4f0d7b11"


def body(**encounter: Any) -> dict[str, Any]:
    return {
        "encounter": {
            "identifier": str(uuid.uuid4()),
            "status": "in-progress",
            "type": "emergency",
            **encounter,
        }
    }


@pytest.mark.parametrize("path", ["/interactions", "/interactions/"])
def test_create_answers_id_and_address(any_client: Client, path: str) -> None:
    answer = any_client.rest("POST", path, body())
    assert answer.status == 201
    assert sorted(answer.json) == ["interactionId", "websocketUrl"]
    base = f"{any_client.endpoint.stream_url}/interactions/{answer.json['interactionId']}"
    assert answer.json["websocketUrl"] == f"{base}/streams?tenant-name=base"


def test_the_item_shows_the_defaults_recorded_live(client: Client) -> None:
    created = client.create()
    item = client.rest("GET", f"/interactions/{created['interactionId']}").json
    assert item["id"] == created["interactionId"]
    assert item["websocketUrl"] == created["websocketUrl"]
    assert item["patient"] == {
        "identifier": "-",
        "name": "-",
        "gender": "unknown",
        "birthDate": "0001-01-01T00:00:00Z",
        "pronouns": "-",
    }
    assert item["encounter"]["period"] == {"startedAt": "0001-01-01T00:00:00Z", "endedAt": None}
    assert item["encounter"]["title"] == ""
    assert (item["endedAt"], item["deletionReason"], item["deletedAt"]) == (None, "", None)
    assert uuid.UUID(item["assignedUserId"])
    assert item["createdAt"] == item["updatedAt"] == item["lastUpdated"]


def test_a_birth_date_without_time_becomes_midnight(client: Client) -> None:
    request = {**body(), "patient": {"identifier": "p1", "birthDate": "1980-02-29", "gender": "female"}}
    created = client.rest("POST", "/interactions/", request).json
    item = client.rest("GET", f"/interactions/{created['interactionId']}").json
    assert item["patient"]["birthDate"] == "1980-02-29T00:00:00Z"
    assert item["patient"]["name"] == "-"


def test_a_second_use_of_the_identifier_is_a_conflict(client: Client, sandbox: Sandbox) -> None:
    request = body()
    assert [client.rest("POST", "/interactions/", request).status for _ in range(2)] == [201, 409]
    assert sandbox.stats()["interactions_created"] == 1
    assert sandbox.stats()["rest_requests"]["create_interaction"] == {"201": 1, "409": 1}


def test_an_empty_body_lists_everything_that_is_missing(client: Client) -> None:
    answer = client.rest("POST", "/interactions/", {})
    assert answer.status == 400
    assert sorted(answer.json) == ["detail", "requestid", "status", "type", "validationErrors"]
    fields = {name for error in answer.json["validationErrors"] for name in error}
    assert fields == {"encounter", "encounter.identifier", "encounter.status", "encounter.type"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "asleep"}, "encounter.status"),
        ({"type": 7}, "encounter.type"),
        ({"identifier": ""}, "encounter.identifier"),
        ({"period": {}}, "encounter.period.startedAt"),
        ({"period": {"startedAt": "yesterday"}}, "encounter.period.startedAt"),
        ({"period": {"startedAt": "2026-01-01T10:00:00"}}, "encounter.period.startedAt"),
        ({"period": []}, "encounter.period"),
    ],
)
def test_a_bad_field_is_named(client: Client, change: dict[str, Any], field: str) -> None:
    answer = client.rest("POST", "/interactions/", body(**change))
    assert answer.status == 400
    assert [field] in [list(error) for error in answer.json["validationErrors"]]


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b'"text"'])
def test_a_body_that_is_no_object_is_refused(client: Client, raw: bytes) -> None:
    assert client.rest("POST", "/interactions/", raw).status == 400


def test_ids_are_checked_before_they_are_looked_up(client: Client) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        assert client.rest(method, "/interactions/not-a-uuid", {}).status == 400
        assert client.rest(method, UNKNOWN, {}).status == 404


def test_update_merges_and_keeps_the_rest(client: Client) -> None:
    created = client.create()
    path = f"/interactions/{created['interactionId']}"
    before = client.rest("GET", path).json
    change = {"encounter": {"status": "completed", "title": "Cough"}, "patient": {"name": "Ann"}}
    answer = client.rest("PATCH", path, change)
    assert answer.status == 200
    assert answer.json["encounter"]["status"] == "completed"
    assert answer.json["encounter"]["identifier"] == before["encounter"]["identifier"]
    assert answer.json["patient"]["name"] == "Ann"
    assert answer.json["updatedAt"] > before["updatedAt"]
    assert client.rest("PATCH", path, {}).status == 200


def test_an_update_cannot_take_a_used_identifier(client: Client) -> None:
    client.create("taken-" + (mark := str(uuid.uuid4())))
    path = f"/interactions/{client.create()['interactionId']}"
    assert client.rest("PATCH", path, {"encounter": {"identifier": f"taken-{mark}"}}).status == 409
    assert client.rest("PATCH", path, {"encounter": {"identifier": f"free-{mark}"}}).status == 200
    assert client.create(f"after-{mark}")


def test_delete_frees_the_identifier(client: Client) -> None:
    mark = str(uuid.uuid4())
    path = f"/interactions/{client.create(mark)['interactionId']}"
    answer = client.rest("DELETE", path)
    assert (answer.status, answer.text) == (204, "")
    assert client.rest("GET", path).status == 404
    assert client.create(mark)


def test_pages_end_with_an_empty_one(client: Client) -> None:
    mark = str(uuid.uuid4())
    for number in range(5):
        patient = {"patient": {"identifier": mark}, **body(status="on-hold", title=str(number))}
        client.rest("POST", "/interactions/", patient)
    query = f"/interactions/?patient={mark}&pageSize=2&encounterStatus=on-hold"
    pages = [client.rest("GET", f"{query}&index={index}").json["interactions"] for index in (1, 2, 3, 4)]
    assert [[one["encounter"]["title"] for one in page] for page in pages] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
        [],
    ]
    ascending = client.rest("GET", f"/interactions?patient={mark}&direction=asc").json["interactions"]
    assert [one["encounter"]["title"] for one in ascending] == ["0", "1", "2", "3", "4"]
    assert client.rest("GET", f"/interactions/?patient={mark}&encounterStatus=planned").json == {
        "interactions": []
    }


@pytest.mark.parametrize(
    "query", ["sort=age", "direction=up", "index=0", "pageSize=x", "encounterStatus=gone"]
)
def test_a_bad_query_is_refused(client: Client, query: str) -> None:
    assert client.rest("GET", f"/interactions/?{query}").status == 400


def test_facts_can_be_added_changed_and_listed(client: Client) -> None:
    path = f"/interactions/{client.create()['interactionId']}/facts"
    assert client.rest("GET", path + "/").json == {"facts": []}
    made = client.rest("POST", path + "/", {"facts": [{"text": "Smokes", "group": "social-history"}]})
    assert made.status == 200
    (fact,) = made.json["facts"]
    assert (fact["source"], fact["isDiscarded"]) == ("user", False)
    changed = client.rest("PATCH", path, {"facts": [{"factId": fact["id"], "isDiscarded": True}]})
    assert changed.json["facts"][0]["isDiscarded"] is True
    one = client.rest("PATCH", f"{path}/{fact['id']}", {"text": "Smoked", "source": "system"})
    assert (one.json["text"], one.json["source"], one.json["isDiscarded"]) == ("Smoked", "system", True)
    (listed,) = client.rest("GET", path + "/").json["facts"]
    assert (listed["id"], listed["text"]) == (fact["id"], "Smoked")


def test_bad_facts_are_refused_and_change_nothing(client: Client) -> None:
    path = f"/interactions/{client.create()['interactionId']}/facts/"
    good = {"text": "Smokes", "group": "social-history"}
    for facts, status in (
        ([], 400),
        ([good, {"text": "x", "group": "gossip"}], 404),
        ([good, {"group": "other"}], 400),
    ):
        assert client.rest("POST", path, {"facts": facts}).status == status
    assert client.rest("PATCH", path, {"facts": [{"factId": "unknown", "text": "x"}]}).status == 404
    assert client.rest("GET", path).json == {"facts": []}


def test_fact_groups_are_listed(client: Client) -> None:
    groups = client.rest("GET", "/factgroups/").json["data"]
    assert len(groups) == 20
    assert {"key", "id", "translations"} == set(groups[0])
