"""Vectors → a LanceDB version that can be searched.

schema → rows → build (a candidate version) → verify (exactly what the snapshot demands) →
search. Everything that touches LanceDB goes through ``table``, the seam to it.

Knows tables, indexes and searches; not gold questions or publications.
"""
