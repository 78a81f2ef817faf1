"""What the OpenAPI document says beyond what FastAPI sees.

The receiver reads bodies raw, because signatures are over bytes. So their models, the headers and the
answers are described here, from the models that parse them.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from rag_assets.events.webhooks.authenticity import TOLERANCE_SECONDS
from rag_assets.events.webhooks.dialects.events import Event
from rag_assets.events.webhooks.dialects.github import Push
from rag_assets.events.webhooks.dialects.s3 import Records
from rag_assets.events.webhooks.refusal import PROBLEM_TYPE, Problem

_REF = "#/components/schemas/{model}"
_HOOK = "/hooks/{corpus}"
_BODIES = (Event, Push, Records)
_PROBLEM = {PROBLEM_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
_RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds after which the same request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    }
}


def _answer(description: str, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": description, "content": _PROBLEM, **({"headers": headers} if headers else {})}


HOOK_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"description": "The event is in the inbox."},
    400: _answer("The body was cut off, content-length is no size, or the request is no valid HTTP."),
    401: _answer("The request does not prove that it comes from a sender of this corpus."),
    404: _answer("No corpus of this name takes events."),
    408: _answer("Headers or body took too long to come."),
    413: _answer("The body is too large."),
    415: _answer("The content type is not application/json."),
    422: _answer("Proven, but it announces nothing that can be taken; `errors` says why."),
    429: _answer("Too many requests in a minute.", _RETRY_AFTER),
    431: _answer("Request line and headers are too long."),
    503: _answer("The event could not be kept. Send it again.", _RETRY_AFTER),
}
READY_RESPONSES: dict[int | str, dict[str, Any]] = {
    503: _answer("The inbox's database does not answer.", _RETRY_AFTER)
}
_SCHEMES: dict[str, dict[str, Any]] = {
    "standard": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks: `v1,` and the HMAC-SHA256, in base64, of webhook-id, webhook-timestamp and "
        "body, joined by dots.",
    },
    "github": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Hub-Signature-256",
        "description": "`sha256=` and the HMAC-SHA256 of the body, in hexadecimal.",
    },
    "bearer": {"type": "http", "scheme": "bearer", "description": "The secret itself."},
}
_HEADERS: dict[str, str] = {
    "webhook-id": "Id of the event, equal in all its repetitions. Needed but for GitHub and S3 records.",
    "webhook-timestamp": f"Seconds since 1970, at most {TOLERANCE_SECONDS} from now. Needed for standard.",
    "X-GitHub-Event": "Sent by GitHub: `push` is read, anything else is taken and announces nothing.",
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's description with bodies, headers, ways of proof and answers of the hooks."""
    _, models = models_json_schema(
        [(model, "validation") for model in (*_BODIES, Problem)], ref_template=_REF
    )
    components = document["components"]
    components["schemas"].update(models["$defs"])
    # FastAPI's own, for answers that are never given.
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    components["securitySchemes"] = _SCHEMES
    operation = document["paths"][_HOOK]["post"]
    operation["security"] = [{name: []} for name in _SCHEMES]
    operation["parameters"] += [
        {"in": "header", "name": name, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"$ref": _REF.format(model=model.__name__)} for model in _BODIES]}
            }
        },
    }
    return document
