"""Evaluated candidates → publications: the log, the claim, rollback, retention and the reader.

This is the only folder that decides what readers see. ``candidates`` tells which candidate stands, ``verification``
whether what is published is what the stores hold.

Knows versions, reports and tags; not how a table is built.
"""
