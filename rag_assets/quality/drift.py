"""How far a profile is from the one of what is published. Pure functions.

Distributions are compared by the population stability index, PSI = Σ (a − e) · ln(a / e) over the
shares e (published) and a (now) of each bin: Yurdakul, "Statistical Properties of Population
Stability Index" (Western Michigan University, 2018). It is the Jeffreys divergence: symmetric, 0 for
equal shares. By custom, below 0.1 nothing changed and above 0.25 much did. Chance alone gives about
(bins − 1) · (1/n + 1/m): with fewer than some hundred rows it is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rag_assets.quality.profile import Figure, Profile, share

BINS = 10
"""By custom, bins hold a tenth of what is published."""
ADDED_COUNT = 0.5
"""Added to each bin: an empty one would make the index infinite."""


def drift(profile: Profile, baseline: Profile, changes: Mapping[str, int]) -> dict[str, Figure]:
    """Drift columns of a stage.

    Args:
        profile: of the candidate.
        baseline: of what is published, under the same settings.
        changes: numbers of added, changed and removed documents between the two.
    """
    found: dict[str, Figure] = {}
    lengths = (baseline.histograms.get("length"), profile.histograms.get("length"))
    if lengths[0] and lengths[1]:
        found["length_drift"] = stability_index(*grouped(lengths[0], lengths[1]))
    match profile.stage:
        case "documents":
            before, after = (int(one.numbers["documents"] or 0) for one in (baseline, profile))
            languages = [one.histograms["language"] for one in (baseline, profile)]
            names = sorted({*languages[0], *languages[1]})
            counts = [[one.get(name, 0) for name in names] for one in languages]
            return found | {
                "added_share": share(changes.get("added", 0), after),
                "changed_share": share(changes.get("changed", 0), before),
                "removed_share": share(changes.get("removed", 0), before),
                "language_drift": stability_index(*counts) if before and after else None,
            }
        case "embeddings":
            return found | {"centroid_shift": cosine_distance(baseline.centroid, profile.centroid)}
    return found


def stability_index(expected: Sequence[int], actual: Sequence[int]) -> float:
    """PSI of two counts over the same bins; neither may be all zero."""
    whole_e, whole_a = sum(expected), sum(actual)
    bins = len(expected)
    total = 0.0
    for before, after in zip(expected, actual, strict=True):
        e = (before + ADDED_COUNT) / (whole_e + ADDED_COUNT * bins)
        a = (after + ADDED_COUNT) / (whole_a + ADDED_COUNT * bins)
        total += (a - e) * math.log(a / e)
    return total


def grouped(expected: Mapping[str, int], actual: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Two length histograms over common, coarser bins.

    Bins are put together until they hold a tenth of ``expected``; one that holds a tenth by itself stays
    alone, so that what is new beside it shows.
    """
    tenth = sum(expected.values()) / BINS
    groups: list[tuple[int, int]] = []
    full = True
    for name in sorted({*expected, *actual}, key=int):
        before, after = expected.get(name, 0), actual.get(name, 0)
        if full or before >= tenth:
            groups.append((0, 0))
        groups[-1] = (groups[-1][0] + before, groups[-1][1] + after)
        full = groups[-1][0] >= tenth
    return [before for before, _ in groups], [after for _, after in groups]


def cosine_distance(one: Sequence[float], other: Sequence[float]) -> float | None:
    """1 − cosine of two directions; None when they cannot be compared."""
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths:
        return None
    return max(0.0, 1 - sum(a * b for a, b in zip(one, other, strict=True)) / lengths)
