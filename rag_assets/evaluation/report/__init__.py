"""The report: what was measured and decided of one candidate, as values, files, a page and sentences.

measurements + verdict + diagnosis → ``report`` (one value) → ``files``, ``page``, ``junit``; ``refusal`` and
``regression`` say in sentences what follows from it.

Knows what was measured and decided; not how to measure or decide.
"""
