"""Evaluated candidates → publications: the log, the claim, rollback, retention and the reader.

This is the only folder that decides what readers see.

Knows versions, reports and tags; not how a table is built.
"""
