"""Judges: how far an answer and its contexts can be trusted, by the RAG triad and its relatives.

case (question, contexts, answer, reference) → judge (local models, DeepEval with an
OpenAI-compatible endpoint) → scores with reasons. ``stage`` judges what the store holds no
judgement of yet. A case that a judge failed on is *not judged*; it never passes for that.
"""
