"""Parsing: bytes → Markdown text, title and metadata, or a rejection that says why.

``formats`` (which parser) → ``pool`` (limits, parallel) → ``parse`` (pure) → one module per
format. Untrusted bytes are only ever parsed in a process that can be killed. ``stage`` brings the snapshot up to
the sources.

Knows formats and documents; not how a text is cut or embedded.
"""
