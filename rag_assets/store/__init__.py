"""The store: everything that must survive, on one URL. Knows bytes, rows and numbers, not documents.

objects → content (append-only Parquet, keyed by content) → snapshots (what a corpus is now).
"""
