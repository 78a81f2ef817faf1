"""The report: everything that was measured and decided of one candidate, as values, files, a page and sentences.

measurements + verdict + diagnosis → ``report`` (one value) → ``files``, ``page``, ``junit``; ``refusal`` and
``regression`` say in sentences what follows from it. Knows what was measured; measures and decides nothing.
"""
