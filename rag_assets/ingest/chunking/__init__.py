"""Parsed text → chunks that fit the embedder's window.

outline (sections, blocks) → cuts (of what is too long) → packing (what goes together) → chunker,
which also proves that nothing exceeds the limit. ``stage`` chunks what the store does not hold yet.

Knows Markdown and lengths in tokens; not documents, models or tables.
"""
