"""The store: everything that must survive, on one URL.

objects → content (append-only Parquet, keyed by content) → snapshots (what a corpus is now) · erasures.

Knows bytes, rows, and documents by id, status and hash; not how a text, a vector or a table is made.
"""
