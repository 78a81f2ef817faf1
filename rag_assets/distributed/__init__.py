"""Work ahead on a Ray cluster: the content stores are filled by many machines at once.

needed keys − present keys → blocks of rows → actors that parse and chunk → actors that embed → the
same stores, under the same keys. Each stage looks for its own missing keys afterwards and finds them
made, so nothing here decides what is in a snapshot or an index: whatever a cluster loses on the way
is missing, and what is missing is made. Knows nothing of snapshots, the table, or Dagster.
"""

from __future__ import annotations

from rag_assets.distributed.ahead import Ahead
from rag_assets.distributed.engine import RayEngine

__all__ = ["Ahead", "RayEngine"]
