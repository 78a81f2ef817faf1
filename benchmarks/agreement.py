"""How far scores agree with labels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def auroc(labels: NDArray[Any], scores: NDArray[Any]) -> float:
    """Probability that a supported response scores above an unsupported one; ties count half (Mann and Whitney)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))
