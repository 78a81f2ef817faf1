"""Judges: how far an answer and its contexts can be trusted, by the RAG triad and its relatives.

case (question, contexts, answer, reference) → judge (local models, DeepEval with a chat model) → scores with reasons
→ ``answered`` (columns beside what was measured of search). ``stage`` judges what the store holds no judgement of yet.
A case that a judge failed on is *not judged*; it never passes for that.

Knows cases and scores; not which scores are good enough.
"""
