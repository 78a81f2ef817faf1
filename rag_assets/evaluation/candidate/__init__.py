"""One candidate, evaluated: the stages that read what the store holds of it and have the other folders judge that.

a version → ``answers`` (asked, answered, judged) → ``stage`` (measured, compared, decided, reported), with ``targets``
(what each version holds of what questions want) and ``traces`` (where a wanted text was lost).

Knows the store, snapshots and how to open a search; not how a table is searched, nor the log of publications.
"""
