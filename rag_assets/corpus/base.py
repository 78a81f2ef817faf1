"""What all groups of fields of a corpus file have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

LONGEST_PATH = 2000
"""Bytes; half of what Linux takes, for the folder before it also has some."""
LONGEST_NAME = 255


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


def _leads_somewhere(path: Path) -> Path:
    if len(os.fsencode(path)) > LONGEST_PATH or any(
        len(os.fsencode(part)) > LONGEST_NAME for part in path.parts
    ):
        raise ValueError(
            f"the path is too long; allowed: {LONGEST_PATH:,} bytes, {LONGEST_NAME} for each name in it"
        )
    try:
        path.expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{str(path)!r} begins at the home of a user whom this machine does not know"
        ) from error
    return path


Place = Annotated[Path, AfterValidator(_leads_somewhere)]
"""A path that every file system takes. ``Corpus.resolve`` makes it absolute."""
VariableName = Annotated[str, AfterValidator(_is_a_name)]
"""Name of the environment variable that holds a secret."""
