"""Evaluation: is a candidate good enough, and better or worse than what is published?

``gold`` (questions) → ``answers`` → ``judging`` → ``search`` (one row per question and mode) → ``diagnosis`` (the stage
at fault) → ``gate`` (a verdict) → ``report`` (JSON, Parquet and one HTML page). ``candidate`` leads a
candidate through all of them; ``files`` is a public name for CI jobs.

Knows a search function, texts and numbers; not LanceDB, nor the log of publications.
"""
