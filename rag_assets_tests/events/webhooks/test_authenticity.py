"""Only who holds the secret announces changes: each scheme, against all that can be wrong with a proof."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from rag_assets.errors import ConfigurationError, SecretMissing
from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets_tests.events.webhooks.corpora import ENVIRON, VARIABLE, corpus
from rag_assets_tests.events.webhooks.receivers import serving
from rag_assets_tests.events.webhooks.senders import OLD_SECRET, SECRET, bearer, event, github, push, standard

HOOK = "/hooks/handbook"
Headers = Callable[[bytes], dict[str, str]]
STRANGE = f"whsec_{'A' * 44}"


def changed(headers: Headers, **other: str | None) -> Headers:
    """The same request with some headers replaced, or left out."""

    def make(body: bytes) -> dict[str, str]:
        made = headers(body) | {name.replace("_", "-"): value for name, value in other.items() if value}
        return {
            name: value for name, value in made.items() if other.get(name.replace("-", "_"), "") is not None
        }

    return make


GOOD: dict[str, Headers] = {
    "standard": standard,
    "standard, a little late": lambda body: standard(body, at=time.time() - 290),
    "standard, a little early": lambda body: standard(body, at=time.time() + 290),
    "standard, one of several signatures": lambda body: (
        changed(standard, webhook_signature=f"v1a,xyz v1,AAAA {standard(body, id='m')['webhook-signature']}")(
            body
        )
        | {"webhook-id": "m"}
    ),
    "standard, the rotated secret": lambda body: standard(body, secret=OLD_SECRET),
    "github": github,
    "github, the rotated secret": lambda body: github(body, secret=OLD_SECRET),
    "bearer": lambda _: bearer(),
    "bearer, in other letters": lambda _: {**bearer(), "authorization": f"bearer  {SECRET}"},
    "bearer, the rotated secret": lambda _: bearer(secret=OLD_SECRET),
    "bearer, with a time": lambda _: {**bearer(), "webhook-timestamp": str(time.time())},
}
BAD: dict[str, Headers] = {
    "nothing": lambda _: {"content-type": "application/json"},
    "standard, another body": lambda body: standard(body + b" "),
    "standard, another secret": lambda body: standard(body, secret=STRANGE),
    "standard, another id": changed(standard, webhook_id="another"),
    "standard, another time": changed(standard, webhook_timestamp=str(int(time.time()) - 1)),
    "standard, expired": lambda body: standard(body, at=time.time() - 310),
    "standard, from the future": lambda body: standard(body, at=time.time() + 310),
    "standard, no time": changed(standard, webhook_timestamp=None),
    "standard, no number": changed(standard, webhook_timestamp="yesterday"),
    "standard, not a number": changed(standard, webhook_timestamp="nan"),
    "standard, an endless number": changed(standard, webhook_timestamp="1e999"),
    "standard, no id": changed(standard, webhook_id=None),
    "standard, an empty signature": changed(standard, webhook_signature=","),
    "standard, no base64": changed(standard, webhook_signature="v1,ü"),
    "standard, half base64": changed(standard, webhook_signature="v1,abc"),
    "standard, no version": changed(standard, webhook_signature="abc"),
    "standard, many commas": changed(standard, webhook_signature="v1,a,b,c"),
    "standard, another version": lambda body: changed(
        standard, webhook_signature=standard(body, id="m")["webhook-signature"].replace("v1", "v2")
    )(body) | {"webhook-id": "m"},
    "github, another body": lambda body: github(body + b" "),
    "github, another secret": lambda body: github(body, secret=STRANGE),
    "github, no digest": changed(github, x_hub_signature_256="sha256="),
    "github, another hash": lambda body: changed(
        github, x_hub_signature_256=github(body)["x-hub-signature-256"].replace("sha256", "sha1")
    )(body),
    "github, no ASCII": changed(github, x_hub_signature_256="sha256=ü"),
    "bearer, another token": lambda _: bearer(secret=STRANGE),
    "bearer, nothing": lambda _: {**bearer(), "authorization": "Bearer"},
    "bearer, a part": lambda _: bearer(secret=SECRET[:-1]),
    "bearer, both secrets": lambda _: bearer(secret=f"{SECRET} {OLD_SECRET}"),
    "bearer, another scheme": lambda _: {**bearer(), "authorization": f"Basic {SECRET}"},
    "bearer, no ASCII": lambda _: {**bearer(), "authorization": "Bearer ü"},
    "bearer, expired": lambda _: {**bearer(), "webhook-timestamp": str(time.time() - 310)},
}  # fmt: skip


@pytest.fixture
def client(inbox: Inbox) -> Iterator[httpx.Client]:
    """A receiver in the middle of a rotation: the new secret and the old one."""
    app = create_app({"handbook": corpus()}, inbox, {VARIABLE: f"{SECRET} {OLD_SECRET}"})
    with serving(app) as client:
        yield client


def send(client: httpx.Client, headers: dict[str, str], body: bytes) -> httpx.Response:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return client.post(HOOK, content=body, headers=raw)


@pytest.mark.parametrize("name", GOOD)
def test_who_holds_a_secret_is_let_in(name: str, client: httpx.Client, inbox: Inbox) -> None:
    body = push({"added": ["a.md"]}) if name.startswith("github") else event()
    assert send(client, GOOD[name](body), body).status_code == 202
    assert inbox.pending("handbook").count == 1


@pytest.mark.parametrize("name", BAD)
def test_everybody_else_is_not(name: str, untouched: httpx.Client) -> None:
    body = push({"added": ["a.md"]}) if name.startswith("github") else event()
    reply = send(untouched, BAD[name](body), body)
    assert (reply.status_code, reply.json()["reason"]) == (401, "unauthorized")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert SECRET not in reply.text and OLD_SECRET not in reply.text


def test_what_the_library_signs_is_let_in(client: httpx.Client) -> None:
    from datetime import UTC, datetime

    body, at = event(), datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, body.decode()),
    }
    assert send(client, headers, body).status_code == 202


def test_a_body_that_is_no_text_is_no_proof(client: httpx.Client) -> None:
    body = b'{"type": "\xff"}'
    assert send(client, standard(body), body).status_code == 401


def test_a_recorded_request_counts_once_and_expires(client: httpx.Client, inbox: Inbox) -> None:
    body = event()
    recorded = standard(body, at=time.time() - 298)
    assert send(client, recorded, body).json()["state"] == "accepted"
    assert send(client, recorded, body).json()["state"] == "duplicate"
    time.sleep(3)
    assert send(client, recorded, body).status_code == 401
    assert inbox.pending("handbook").count == 1


def test_a_scheme_that_is_not_accepted_proves_nothing(inbox: Inbox) -> None:
    app = create_app({"handbook": corpus(accept=["github"])}, inbox, ENVIRON)
    with serving(app) as client:
        body = event()
        for headers in (standard(body), bearer()):
            reply = send(client, headers, body)
            assert reply.status_code == 401
            assert "expected a header of: x-hub-signature-256" in reply.json()["detail"]


def test_secrets_of_github_and_bearers_may_be_any_text(inbox: Inbox) -> None:
    secret = "correct-horse-battery-staple"
    app = create_app({"handbook": corpus(accept=["github", "bearer"])}, inbox, {VARIABLE: secret})
    with serving(app) as client:
        body = push({"added": ["a.md"]})
        assert send(client, github(body, secret=secret), body).status_code == 202
        assert send(client, bearer(secret=secret), event()).status_code == 202


@pytest.mark.parametrize(
    ("value", "accept", "words"),
    [
        (None, ["standard"], "it is not set"),
        ("", ["bearer"], "it is not set"),
        ("  ", ["bearer"], "it is not set"),
        ("fifteen letters", ["github"], "at least 16 characters"),
        ("fifteen-letters", ["github"], "at least 16 characters"),
        ("sixteen-lettersü", ["github"], "ASCII"),
        (f"{SECRET} short", ["bearer"], "at least 16 characters"),
        (f"{SECRET} {SECRET} {SECRET}", ["standard"], "3 secrets"),
        (
            "any-other-text-of-32-characters.",
            ["bearer", "standard"],
            "whsec_ and at least 16 bytes in base64",
        ),
        ("whsec_not*base64*not*base64", ["standard"], "whsec_ and at least 16 bytes in base64"),
        ("whsec_dG9vIHNob3J0", ["standard"], "whsec_ and at least 16 bytes in base64"),
    ],
)
def test_a_secret_that_is_none_is_noticed_at_the_start_and_never_shown(
    value: str | None, accept: list[Any], words: str, inbox: Inbox
) -> None:
    environ = {} if value is None else {VARIABLE: value}
    with pytest.raises(SecretMissing, match=r"handbook: events\.webhooks\.secret_variable") as caught:
        create_app({"handbook": corpus(accept=accept)}, inbox, environ)
    message = str(caught.value)
    assert VARIABLE in message and words in message and "openssl rand" in message
    for secret in (value or "").split():
        assert secret not in message


def test_two_corpora_with_one_secret_are_refused_at_the_start(inbox: Inbox) -> None:
    other = corpus().model_copy(update={"name": "manuals"})
    with pytest.raises(ConfigurationError, match="handbook and manuals have the same secret") as caught:
        create_app({"handbook": corpus(), "manuals": other}, inbox, {VARIABLE: f"{SECRET} {OLD_SECRET}"})
    assert SECRET not in str(caught.value)


def test_no_secret_is_in_what_a_debugger_or_a_trace_shows(inbox: Inbox) -> None:
    from rag_assets.events.webhooks.hook import Hook
    from rag_assets.events.webhooks.places import Places

    found = corpus()
    assert found.events is not None and found.events.webhooks is not None
    assert SECRET not in repr(Hook(found, found.events.webhooks, (SECRET,), Places(found, "")))
