"""The token endpoint, and how REST and streams check tokens."""

import base64

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from ops.sandbox.launch import Sandbox, start
from tests.sandbox.client import Answer, Client


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]


def test_a_token_is_a_signed_jwt_of_its_realm(any_client: Client) -> None:
    answer = any_client.ask_token()
    assert answer.status == 200
    body = answer.json
    assert (body["expires_in"], body["refresh_expires_in"], body["token_type"]) == (300, 0, "Bearer")
    assert "refresh_token" not in body
    realm = f"{any_client.endpoint.auth_url}/realms/base"
    keys = jwt.PyJWKSet.from_dict(any_client.request("GET", f"{realm}/protocol/openid-connect/certs").json)
    claims = jwt.decode(body["access_token"], keys.keys[0], algorithms=["RS256"])
    assert claims["iss"] == realm
    assert claims["exp"] - claims["iat"] == pytest.approx(300, abs=1)


def test_discovery_leads_to_the_token_endpoint(any_client: Client) -> None:
    realm = f"{any_client.endpoint.auth_url}/realms/base"
    document = any_client.request("GET", f"{realm}/.well-known/openid-configuration").json
    assert document["issuer"] == realm
    assert document["token_endpoint"] == f"{realm}/protocol/openid-connect/token"
    assert (
        any_client.request("GET", realm.replace("base", "x") + "/.well-known/openid-configuration").status
        == 404
    )


def test_credentials_may_come_in_the_header(client: Client) -> None:
    good = base64.b64encode(b"sandbox:sandbox-secret").decode()
    assert client.ask_token(basic=good, client_id=None, client_secret=None).status == 200
    bad = base64.b64encode(b"sandbox:guess").decode()
    assert refusal(client.ask_token(basic=bad)) == (401, "unauthorized_client")
    assert refusal(client.ask_token(basic="%%%")) == (401, "invalid_client")


def test_refusals_are_those_of_keycloak(client: Client, sandbox: Sandbox) -> None:
    assert refusal(client.ask_token(client_id="nobody")) == (401, "invalid_client")
    assert refusal(client.ask_token(client_secret="guess")) == (401, "unauthorized_client")
    assert refusal(client.ask_token(client_secret=None)) == (401, "unauthorized_client")
    assert refusal(client.ask_token(grant_type=None)) == (400, "invalid_request")
    assert refusal(client.ask_token(grant_type="telepathy")) == (400, "unsupported_grant_type")
    assert refusal(client.ask_token(realm="elsewhere")) == (404, "Realm does not exist")
    assert client.ask_token(scope=None).status == 200
    stats = sandbox.stats(summary=True)
    assert stats["tokens_issued"] == 1
    assert stats["token_requests"]["401 unauthorized_client"] == 2


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer x.y.z", "Basic c2FuZGJveDpzYW5kYm94LXNlY3JldA=="])
def test_rest_refuses_without_a_good_token(client: Client, header: str | None) -> None:
    answer = client.rest("GET", "/interactions/", Authorization=header)
    assert (answer.status, answer.text) == (401, "")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_token_signed_by_somebody_else_is_refused(client: Client) -> None:
    claims = jwt.decode(client.token, options={"verify_signature": False})
    forged = jwt.encode(claims, "not the key of the server, but long enough", algorithm="HS256")
    assert client.rest("GET", "/interactions/", Authorization=f"Bearer {forged}").status == 401


def test_an_id_token_is_no_access_token(client: Client) -> None:
    identity = client.ask_token().json["id_token"]
    assert client.rest("GET", "/interactions/", Authorization=f"Bearer {identity}").status == 401


def test_the_tenant_header_must_be_there_and_be_right(client: Client) -> None:
    assert client.rest("GET", "/interactions/", Tenant_Name=None).status == 403
    assert client.rest("GET", "/interactions/", Tenant_Name="other").status == 403


def test_an_expired_token_is_refused_everywhere() -> None:
    with start(token_seconds=0.001, tls_port=None, extra_arguments=["--tenant", "second"]) as sandbox:
        client = Client(sandbox)
        assert client.rest("GET", "/interactions/").status == 401
        with pytest.raises(InvalidStatus, match="401"):
            client.connect_url(
                f"{sandbox.info.http.stream_url}/interactions/x/streams?tenant-name=base&token=Bearer%20{client.token}"
            )


def test_tenants_do_not_see_each_other() -> None:
    with start(tls_port=None, extra_arguments=["--tenant", "second"]) as sandbox:
        first, second = Client(sandbox), Client(sandbox, tenant="second")
        created = first.create("same")
        assert second.create("same")["interactionId"] != created["interactionId"]
        assert second.rest("GET", f"/interactions/{created['interactionId']}").status == 404
        with pytest.raises(InvalidStatus, match="403"):
            first.connect_url(
                created["websocketUrl"].replace("=base", "=second") + f"&token=Bearer%20{first.token}"
            )


def test_a_realm_with_a_client_of_its_own_refuses_other_clients() -> None:
    with start(tls_port=None, extra_arguments=["--client", "clinic:theirs:word:s"]) as sandbox:
        client = Client(sandbox)
        theirs = {"realm": "clinic", "client_id": "theirs", "client_secret": "word:s"}
        assert refusal(client.ask_token(realm="clinic")) == (401, "invalid_client")
        assert refusal(client.ask_token(client_id="theirs", client_secret="word:s")) == (
            401,
            "invalid_client",
        )
        token = client.ask_token(**theirs).json["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["azp"] == "theirs"
        # A token of a realm is valid for the tenant of that name only.
        foreign = {"Authorization": f"Bearer {token}"}
        assert client.rest("GET", "/interactions/", **foreign).status == 403
        assert client.rest("GET", "/interactions/", **foreign, **{"Tenant-Name": "clinic"}).status == 200
        assert sandbox.stats(summary=True)["tokens_by_realm"]["clinic"] == 1
        sandbox.fault("rotate_secret", secret="next", tenant="clinic")
        assert client.ask_token(**theirs).status == 401
        assert client.ask_token(**{**theirs, "client_secret": "next"}).status == 200
        assert client.ask_token().status == 200


def test_a_token_for_sockets_opens_sockets_only(client: Client) -> None:
    created = client.create()
    streams = client.ask_token(scope="openid streams").json["access_token"]
    dictation = client.ask_token(scope="openid transcribe").json["access_token"]
    assert client.rest("GET", "/interactions/", Authorization=f"Bearer {streams}").status == 403
    with client.connect_url(f"{created['websocketUrl']}&token=Bearer%20{streams}") as conversation:
        assert conversation.configure()["type"] == "CONFIG_ACCEPTED"
    with pytest.raises(InvalidStatus, match="403"):
        client.connect_url(f"{created['websocketUrl']}&token=Bearer%20{dictation}")
