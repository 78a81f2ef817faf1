"""Evaluation: is a candidate good enough, and better or worse than what is published?

``gold`` (questions) + ``search`` (a candidate) → ``evaluate`` (one row per question and mode)
→ ``gate`` (a verdict) and ``report`` (JSON, Parquet and one HTML page, see ``files``).

This room knows nothing of LanceDB, embedders or Dagster: it sees a search function and numbers.
"""
