"""Chunks → vectors. Knows texts and models, not documents or tables.

``open_embedder`` gives a backend behind one interface; ``stage`` embeds what the store does
not hold yet. Fingerprints come from the model files, so deciding that there is nothing to do
loads no model.
"""
