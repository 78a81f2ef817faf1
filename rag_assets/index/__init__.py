"""Vectors → a LanceDB version that can be searched.

schema → rows → build (a candidate version) → verify (exactly what the snapshot demands) →
search; ``stage`` leads through it. What is published comes in as a ``base``: a version to build on. Everything that
touches LanceDB goes through ``table``, the seam to it.

Knows tables, indexes and searches; not gold questions or the log of publications.
"""
