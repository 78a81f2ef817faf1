"""Publications and erasures → what caches must forget → whom to tell, each in order and at least once.

Knows the publication log, not how a publication is made. ``cache`` is for services and loads
neither Polars nor LanceDB.
"""
