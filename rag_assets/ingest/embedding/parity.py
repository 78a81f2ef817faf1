"""Parity: whether two embedders give the same vectors, measured and on record.

Two backends of one model, such as sentence-transformers on a laptop and vLLM on a GPU, have
fingerprints of their own. Where the measured agreement is high enough, the record makes the one's
vectors count as the other's: nothing is embedded again when the backend changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from rag_assets.ingest.embedding.embedder import Embedder
from rag_assets.store.files import ObjectDamaged, json_bytes
from rag_assets.store.objects import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_COSINE = 0.999
LARGEST_STRETCH = 0.01
"""How far the lengths of two vectors may differ, relatively: cosines do not see it."""


@dataclass(frozen=True)
class Agreement:
    """How alike the vectors of two embedders are.

    Attributes:
        texts: how many were compared.
        min_cosine, mean_cosine: over the texts; 0 when the dimensions differ.
        stretch: largest relative difference of lengths.
        precisions: arithmetic of both; None where it is not known, as of an endpoint.
    """

    texts: int
    min_cosine: float
    mean_cosine: float
    stretch: float
    precisions: tuple[str | None, str | None]

    @property
    def problem(self) -> str | None:
        """Why the two do not count as one; None when they do."""
        one, other = self.precisions
        if one is not None and other is not None and one != other:
            return f"they compute in {one} and {other}; set embedder.precision, so that both compute alike"
        if self.min_cosine < LEAST_COSINE:
            return f"the cosine falls to {self.min_cosine:.5f}; {LEAST_COSINE} is needed"
        if self.stretch > LARGEST_STRETCH:
            return f"the lengths differ by up to {self.stretch:.1%}; do both normalize alike?"
        return None


@dataclass(frozen=True)
class Parity:
    """That an embedder's vectors count as another one's.

    Attributes:
        same_as: fingerprint of the other one.
        about: of the other one, readable.
        backend: its type in a corpus file, by which readers open it.
        agreement: what was measured.
        measured: when, in ISO 8601.
    """

    same_as: str
    about: Mapping[str, Any]
    backend: str
    agreement: Agreement
    measured: str


class ParityLog:
    """The records of a store, ``parity/<fingerprint>.json``."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def find(self, fingerprint: str) -> Parity | None:
        """Whose vectors an embedder's own count as, through all records that follow one another.

        Raises:
            ObjectDamaged: a record cannot be read.
        """
        found, seen = self._read(fingerprint), {fingerprint}
        while found is not None and found.same_as not in seen:
            seen.add(found.same_as)
            after = self._read(found.same_as)
            if after is None:
                break
            found = after
        return found

    def record(self, fingerprint: str, parity: Parity) -> None:
        """Make an embedder's vectors count as another one's from now on."""
        self._objects.put(_path(fingerprint), json_bytes(asdict(parity)))

    def uri(self, fingerprint: str) -> str:
        """Where the record of an embedder lies, or would."""
        return self._objects.uri(_path(fingerprint))

    def _read(self, fingerprint: str) -> Parity | None:
        data = self._objects.find(_path(fingerprint))
        try:
            return None if data is None else _PARITY.validate_json(data)
        except ValidationError as error:
            raise ObjectDamaged(
                f"{self._objects.uri(_path(fingerprint))} is no record of parity: delete it and measure again"
            ) from error


_PARITY = TypeAdapter(Parity)


def measure(one: Embedder, other: Embedder, texts: Sequence[str], tokens: Sequence[int]) -> Agreement:
    """Embed the same texts with both."""
    import numpy as np

    left, right = one.embed(texts, tokens), other.embed(texts, tokens)
    precisions = (one.about.get("precision"), other.about.get("precision"))
    if left.shape != right.shape:
        return Agreement(len(texts), 0.0, 0.0, 0.0, precisions)
    found = cosines(left, right)
    lengths = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    stretch = np.abs(lengths[0] - lengths[1]) / np.maximum(lengths[1], 1e-12)
    return Agreement(len(texts), float(found.min()), float(found.mean()), float(stretch.max()), precisions)


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each pair of rows; computed in float64."""
    import numpy as np

    one, other = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / np.maximum(lengths, 1e-12))


def _path(fingerprint: str) -> str:
    return f"parity/{fingerprint}.json"
