"""Evaluated candidates → publications: the log, the claim, rollback, retention and the reader.

Knows versions, reports and tags, not how a table is built. This is the only room that decides
what readers see.
"""
