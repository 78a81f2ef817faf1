"""The gate: may a candidate be published?

``standards`` (what it is held to) + measurements + ``targets`` (what the change removed) → ``gate`` (a verdict).

Knows figures and rules; not how they are shown, nor what is published.
"""
