"""Publications and erasures → what caches must forget → whom to tell, each in order and at least once.

``cache`` is for services and loads neither Polars nor LanceDB.

Knows the publication log; not how a publication is made.
"""
