"""What a candidate is built on and compared with: what readers see, as far as builders and judges need to know it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag_assets.index.candidate import Spec


@dataclass(frozen=True)
class Base:
    """A published version.

    Attributes:
        number: of its publication.
        version: Lance version.
        candidate: tag under which it was built; unlike the version, never used again.
        snapshot: number of the snapshot that it holds.
        spec: what it is made of.
        chunks: rows of the table.
        report: path of the report with which it was published, below the store; empty when that is not known.
        facts, about: what its builder recorded.
    """

    number: int
    version: int
    candidate: str
    snapshot: int
    spec: Spec
    chunks: int
    report: str
    facts: Mapping[str, Any]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Damage:
    """What is wrong with a published version.

    Attributes:
        what: such as "has lost data/1.lance of its index".
        misled: whether readers may have seen other content than the stores hold.
    """

    what: str
    misled: bool
