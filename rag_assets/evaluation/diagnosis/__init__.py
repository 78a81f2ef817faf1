"""The stage at fault when a question goes wrong, with evidence.

texts on the way from source to chunk → ``loss`` (where a text was lost) → ``diagnosis`` (the first stage at fault).

Knows texts, ranks and scores; not how a stage works, nor whether the fault refuses a candidate.
"""
