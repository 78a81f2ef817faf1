"""What all groups of fields of a corpus file have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Group(BaseModel):
    """Immutable; an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _is_a_name(value: str) -> str:
    if not (value.isidentifier() and value.isascii()):
        # Not shown: who mistakes the field writes the key here.
        raise ValueError(
            "found what cannot be the name of a variable; allowed: the name of an environment variable, letters, "
            "digits and underscores. Never write the key itself into a file"
        )
    return value


VariableName = Annotated[str, AfterValidator(_is_a_name)]
"""Name of the environment variable that holds a secret."""
