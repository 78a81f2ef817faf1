"""``rag-assets`` as any other, which can be held in the middle of its work.

``HOLD`` names a file. As long as it is there, what ``HOLD_IN`` names does not go on, and says so by making the file
``<HOLD>.reached``:

- ``embedding``: a batch of the static model, in its thread
- ``native``: the build of an index, in the main thread and in code that does not return to Python
- ``parsing``: a parser process, over each document that begins with "hang"
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_assets.cli import main
from rag_assets.ingest.embedding.static import StaticEmbedder
from rag_assets.ingest.parsing.pool import ParserPool
from rag_assets.pipeline.pipeline import Pipeline

_embed, _candidate = StaticEmbedder.embed, Pipeline.candidate
HOURS_OF_ROUNDS = 2**31 - 1


def reached(place: str) -> bool:
    """Whether to hold here."""
    hold = Path(os.environ.get("HOLD", "none"))
    if os.environ.get("HOLD_IN") != place or not hold.exists():
        return False
    hold.with_suffix(".reached").touch()
    return True


def embed(embedder: StaticEmbedder, texts: Sequence[str], tokens: Sequence[int]) -> NDArray[np.float32]:
    while reached("embedding"):
        time.sleep(0.05)
    return _embed(embedder, texts, tokens)


def candidate(pipeline: Pipeline) -> Any:
    if reached("native"):
        # As an engine of a model is a process of its own.
        subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hashlib.pbkdf2_hmac("sha256", b"", b"", HOURS_OF_ROUNDS)
    return _candidate(pipeline)


if __name__ == "__main__":
    StaticEmbedder.embed = embed  # type: ignore[method-assign]
    Pipeline.candidate = candidate  # type: ignore[method-assign]
    if os.environ.get("HOLD_IN") == "parsing":
        ParserPool.__init__.__defaults__ = ("rag_assets_tests.ingest.parsing.faulty:parse",)
    main()
