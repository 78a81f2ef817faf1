"""Chunks → vectors, by one of several backends behind one interface.

``open_embedder`` gives a backend; ``stage`` embeds what the store does not hold yet. Fingerprints come from the
model files, so deciding that there is nothing to do loads no model.

Knows texts and models; not documents or tables.
"""
