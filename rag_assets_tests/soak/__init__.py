"""A random walk over a corpus: real processes on a real store, held against a model in memory after each step.

``python -m rag_assets_tests.soak --seed 7 --steps 500 --store local`` walks; ``make soak`` records long walks in
``docs/soak.md``. ``actions`` says what may happen, ``model`` what must come of it, ``walk`` compares the two.
"""
