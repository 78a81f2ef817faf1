"""Gold sets: questions whose right answers in the corpus are known, as files that people edit.

question → file (read, write) → check (against the corpus, of which ``stored`` reads what the store has) ·
formats (import) · propose (new ones).

Knows documents as ids and texts; not how they are searched or measured.
"""

from rag_assets.evaluation.gold.file import load_gold
from rag_assets.evaluation.gold.question import GoldSet, Question

__all__ = ["GoldSet", "Question", "load_gold"]
