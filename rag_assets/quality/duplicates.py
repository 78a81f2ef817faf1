"""Near duplicates: documents of which at least 90 % of the five-word runs are the same.

texts → words → hashes of five words in a row → MinHash signature of 128 bytes → bands that agree →
compared signatures. Linear in the number of texts: no pair is looked at that shares no band, and
none but the nearest within a band, however many documents follow one template.

MinHash: Broder, "On the resemblance and containment of documents" (1997). One byte for each slot:
Li and König, "b-Bit Minwise Hashing" (2010). Bands: Leskovec, Rajaraman, Ullman, "Mining of Massive
Datasets", chapter 3. Neighbours in sorted order: Hernández and Stolfo, "The Merge/Purge Problem" (1995).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from blake3 import blake3
from numpy.typing import NDArray

SHINGLE = 5  # words in a row
SLOTS = 128  # bytes of a signature; the estimated share is off by 0.03 at most, in two cases of three
BANDS = SLOTS // 8  # of 8 slots: texts that agree in 90 % share a band with a probability of 0.9999
ALIKE = 0.9
NEIGHBOURS = 4  # compared in each band
COMPARED = 65_536  # pairs of signatures in memory at once

# Scripts that write no spaces between words: each character counts as one.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}"
WORD = rf"[{_UNSPACED}]|[\w--[{_UNSPACED}]]+"

_RANDOM = np.random.default_rng(20250101)
_FACTORS = _RANDOM.integers(0, 2**63, SLOTS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_SUMMANDS = _RANDOM.integers(0, 2**63, SLOTS, dtype=np.uint64)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def words(texts: pl.Series) -> pl.Series:
    """The words of each text: compatibility form, lower case, without punctuation."""
    return texts.str.normalize("NFKC").str.to_lowercase().str.extract_all(WORD)


def signatures(found: pl.Series) -> pl.Series:
    """One signature (binary, ``SLOTS`` bytes) for each list of words; null for one without words."""
    lists = found.alias("words").to_frame().with_row_index("row").filter(pl.col("words").list.len() > 0)
    if lists.is_empty():
        return pl.Series([None] * found.len(), dtype=pl.Binary)
    # What is shorter than a run is one run, filled up.
    padding = pl.lit([""] * (SHINGLE - 1))
    short = pl.col("words").list.len() < SHINGLE
    filled = pl.when(short).then(pl.col("words").list.concat(padding).list.head(SHINGLE)).otherwise("words")
    flat = lists.select("row", word=filled).explode("word")
    hashes, starts = _runs(_hashes(flat["word"]), flat["row"].to_numpy())
    slots = np.empty((lists.height, SLOTS), dtype=np.uint8)
    for slot in range(SLOTS):
        values = (hashes * _FACTORS[slot] + _SUMMANDS[slot]) >> np.uint64(32)
        slots[:, slot] = np.minimum.reduceat(values, starts) & np.uint64(0xFF)
    signed: list[bytes | None] = [None] * found.len()
    for row, signature in zip(lists["row"], slots, strict=True):
        signed[row] = signature.tobytes()
    return pl.Series(signed, dtype=pl.Binary)


def near_duplicates(signed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which rows are nearly the same as another one. ``signed``: (n, ``SLOTS``) signatures."""
    bands = np.ascontiguousarray(signed).view(np.uint64)
    found = np.zeros(len(signed), dtype=np.bool_)
    for band in range(BANDS):
        # Within a band the next one decides the order, so that what is alike stands side by side.
        order = np.lexsort((bands[:, (band + 1) % BANDS], bands[:, band]))
        for distance in range(1, NEIGHBOURS + 1):
            first, second = order[:-distance], order[distance:]
            same = bands[first, band] == bands[second, band]
            if not same.any():
                break
            first, second = first[same], second[same]
            for start in range(0, len(first), COMPARED):
                one, other = first[start : start + COMPARED], second[start : start + COMPARED]
                alike = (signed[one] == signed[other]).mean(axis=1) >= ALIKE
                found[one[alike]] = found[other[alike]] = True
    return found


def _hashes(flat: pl.Series) -> NDArray[np.uint64]:
    """A 64-bit hash of each word. Not Polars' own, which may change with its version."""
    distinct = flat.unique()
    values = [int.from_bytes(blake3(word.encode()).digest(length=8), "big") for word in distinct]
    table = pl.DataFrame({"word": distinct, "hash": pl.Series(values, dtype=pl.UInt64)})
    joined = flat.alias("word").to_frame().join(table, on="word", how="left", maintain_order="left")
    return joined["hash"].to_numpy()


def _runs(
    hashes: NDArray[np.uint64], rows: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
    """Hashes of all runs that lie within one row, and where each row's begin."""
    count = len(hashes) - SHINGLE + 1
    runs = hashes[:count].copy()
    for offset in range(1, SHINGLE):
        runs = runs * _STEP + hashes[offset : offset + count]
    within = rows[:count] == rows[SHINGLE - 1 :]
    runs, owners = runs[within], rows[:count][within]
    runs = (runs ^ (runs >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    runs ^= runs >> np.uint64(32)
    return runs, np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
