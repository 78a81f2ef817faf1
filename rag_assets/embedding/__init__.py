"""The public name of embedding, for services that search the table themselves.

Holds the one name that ``docs/reading.md`` promises and no code: the work is done in ``ingest``.

Knows what it passes on; nothing in this package imports it.
"""
