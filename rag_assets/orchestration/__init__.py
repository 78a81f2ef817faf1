"""Dagster: assets, checks, jobs and resources. The only room that knows it, and it knows little else.

An asset body translates: it calls one stage of the pipeline and reports what came back.
"""
