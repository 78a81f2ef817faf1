"""The OpenAPI document is true: what it allows is understood, what it forbids is refused, all answers are as it says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from rag_assets.events.inbox import Inbox
from rag_assets.events.webhooks import create_app
from rag_assets_tests.events.webhooks.corpora import ENVIRON, corpus
from rag_assets_tests.events.webhooks.receivers import serving
from rag_assets_tests.events.webhooks.senders import SECRET, bearer, event, github, push, records, standard

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")

EXAMPLES = 60
SIGNED: dict[str, Callable[[bytes], dict[str, str]]] = {
    "standard": standard,
    "github": github,
    "bearer": lambda _: bearer(),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    inbox = Inbox.open(f"sqlite:///{tmp_path_factory.mktemp('openapi')}/inbox.sqlite")
    app = create_app({"handbook": corpus(requests_per_minute=1_000_000)}, inbox, ENVIRON)
    with serving(app) as client:
        yield client
    inbox.close()


def operations(client: httpx.Client) -> dict[str, Any]:
    schema = schemathesis.openapi.from_url(str(client.base_url.join("/openapi.json")))
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def fuzz(strategy: Any, one: Callable[[Any], None]) -> None:
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=[*HealthCheck])
    @given(case=strategy)
    def every(case: Any) -> None:
        one(case)

    every()


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("scheme", SIGNED)
def test_every_body_of_a_proven_sender_is_answered_as_described(
    mode: str, scheme: str, client: httpx.Client
) -> None:
    from schemathesis.checks import ignored_auth, positive_data_acceptance

    operation = operations(client)["POST /hooks/{corpus}"]
    answers: Counter[int] = Counter()

    def send(case: Any) -> None:
        body = json.dumps(
            case.body if isinstance(case.body, dict | list | str | int | float | bool) else None
        ).encode()
        reply = client.post("/hooks/handbook", content=body, headers=SIGNED[scheme](body))
        answers[reply.status_code] += 1
        # What fits the schema may still name documents for which there is no place, and every request is signed.
        case.validate_response(reply, excluded_checks=[positive_data_acceptance, ignored_auth])

    fuzz(operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)), send)
    assert answers.keys() <= {202, 422}
    assert answers[422]
    assert mode == "negative" or answers[202]


def test_every_request_without_proof_is_answered_as_described(client: httpx.Client) -> None:
    operation = operations(client)["POST /hooks/{corpus}"]
    answers: Counter[int] = Counter()

    def send(case: Any) -> None:
        reply = case.call_and_validate()
        answers[reply.status_code] += 1

    fuzz(operation.as_strategy(), send)
    assert answers.keys() <= {401, 404, 415}


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_what_operators_ask_is_answered_as_described(path: str, client: httpx.Client) -> None:
    fuzz(operations(client)[f"GET {path}"].as_strategy(), lambda case: case.call_and_validate())


def test_real_bodies_fit_the_description(client: httpx.Client) -> None:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    for name, body in (
        ("Event", event()),
        ("Event", event("document.erase", [{"document": "a"}])),
        ("Push", push({"added": ["a.md"]})),
        ("Records", records(("ObjectCreated:Put", "a"))),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        Draft202012Validator(schema).validate(json.loads(body))
        assert not Draft202012Validator(schema).is_valid({"a": 1})


def test_the_description_holds_no_secret_and_every_answer_of_a_hook(client: httpx.Client) -> None:
    assert SECRET not in json.dumps(client.get("/openapi.json").json())
    answers = client.get("/openapi.json").json()["paths"]["/hooks/{corpus}"]["post"]["responses"]
    assert answers.keys() == {"202", "400", "401", "404", "408", "413", "415", "422", "429", "431", "503"}
    assert all(answer["description"] != "Successful Response" for answer in answers.values())
