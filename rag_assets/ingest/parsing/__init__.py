"""Parsing: bytes → Markdown text + title + metadata, or a rejection that says why.

``formats`` (which parser) → ``pool`` (limits, parallel) → ``parse`` (pure) → one module per
format. Untrusted bytes are only ever parsed in a process that can be killed.
"""
