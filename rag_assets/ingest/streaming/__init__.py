"""Work ahead of the stages: documents are parsed, chunked and embedded in one stream, here or on a Ray cluster.

needed keys − present keys → blocks of rows → workers that parse and chunk → workers that embed → the
same stores, under the same keys. Each stage looks for its own missing keys afterwards and finds them
made, so nothing here decides what is in a snapshot or an index: whatever is lost on the way is missing,
and what is missing is made.

Knows stores and the rows of a snapshot, of which it commits none; not the table, nor Dagster.
"""

from __future__ import annotations

from rag_assets.ingest.streaming.ahead import Ahead
from rag_assets.ingest.streaming.engine import StreamEngine, open_engine
from rag_assets.ingest.streaming.job import Job

__all__ = ["Ahead", "Job", "StreamEngine", "open_engine"]
