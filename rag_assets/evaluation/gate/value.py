"""What a report is made of: values that never change and know no other fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """Base of a report's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
