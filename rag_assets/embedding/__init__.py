"""The public name of embedding, for services that search the table themselves; the work is done in ``ingest``.

Holds the one name that ``docs/reading.md`` promises, and no code. Nothing in this package imports it.
"""
