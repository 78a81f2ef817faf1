"""The stages of one corpus in order, without Dagster: what an asset body, a test and a script call.

documents → chunks → embeddings → candidate → evaluation → publication, plus plan, status and events. ``pipeline`` is
that order and nothing else. What a stage does stands in the folder of its noun; what leads through several folders
stands beside ``pipeline``, takes what it uses, and does not import it.

Knows every stage; not who calls it, nor how a result is shown.
"""
