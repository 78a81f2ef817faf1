"""What every backend does with a model's output, and the seam to sentence-transformers' errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rag_assets.errors import EmbeddingFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


def encode(
    model: SentenceTransformer, name: str, texts: list[str], batch_size: int, *, normalize: bool
) -> NDArray[np.float32]:
    """Vectors of texts: float32, shape (len(texts), dimension), all finite.

    Raises:
        EmbeddingFailed: the model refused the texts or gave a non-finite vector.
    """
    import numpy as np

    try:
        vectors = model.encode(texts, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise EmbeddingFailed(f"{name}: {reason}") from error
    return checked(np.asarray(vectors, dtype=np.float32), name, normalize=normalize)


def checked(vectors: NDArray[np.float32], name: str, *, normalize: bool) -> NDArray[np.float32]:
    """Finite vectors, scaled to length 1 if asked for. Raises EmbeddingFailed for a non-finite one."""
    import numpy as np

    if not np.isfinite(vectors).all():
        raise EmbeddingFailed(f"{name}: non-finite vector")
    if normalize:
        # In float32: a norm computed in bfloat16 is off by up to half a percent.
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors
