"""Documents → vectors: everything before the table, in the order of its folders.

``sources`` (what is there) → ``parsing`` (bytes → texts) → ``chunking`` (texts → pieces) → ``embedding`` (pieces →
vectors); ``streaming`` makes the same in one stream, ahead of the stages. ``context`` is what all of it works with,
``work`` finds what is to be done, and ``making`` has each stage make what the store lacks. ``parity``
measures whether two embedders may share their vectors.

Knows documents, texts and vectors; not the table, nor questions, nor publications.
"""
