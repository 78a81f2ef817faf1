"""Measured search: what an index finds of what gold questions want, per question and in the mean.

questions + a search function → ``evaluate`` (one row per question and mode) → ``measured``, ``measurements`` (kept) →
``summary``, ``slices`` (means with intervals).

Knows questions, hits and scores of answers; not the index, nor which figures are good enough.
"""
