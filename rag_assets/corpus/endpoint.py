"""What a corpus file says about a model behind an OpenAI-compatible endpoint, whatever the model does."""

from __future__ import annotations

from pydantic import Field

from rag_assets.corpus.base import Group, VariableName

URL_PATTERN = r"^https?://[^\s@/?#]+(/[^\s@?#]*)?$"


class Endpoint(Group):
    """A model behind an OpenAI-compatible endpoint."""

    url: str = Field(
        pattern=URL_PATTERN,
        description="Base URL up to and with /v1. The key comes from the environment, never from here.",
        examples=["http://127.0.0.1:8000/v1"],
    )
    model: str = Field(min_length=1, description="Name under which the server knows the model.")
    key_variable: VariableName = Field(
        default="OPENAI_API_KEY",
        description="Environment variable that holds the key, if there is one.",
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="Seconds for one attempt of a request."
    )
    retries: int = Field(
        default=4, ge=0, le=20, description="Further attempts when the server is busy or the line breaks."
    )
    concurrency: int = Field(default=8, ge=1, le=1024, description="Requests at the same time, at most.")
