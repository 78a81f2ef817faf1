"""The stages of one corpus in order, without Dagster: what an asset body, a test and a script call.

documents → chunks → embeddings → candidate → evaluation → publication, plus plan, status and events.

Knows every stage; not who calls it, nor how a result is shown.
"""
