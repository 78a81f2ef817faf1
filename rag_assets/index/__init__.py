"""Vectors → a LanceDB version. Knows tables, indexes and searches, not questions or publications.

schema → rows → build (a candidate version) → verify (exactly what the snapshot demands) →
search. Everything that touches LanceDB goes through ``table``, the seam to it.
"""
