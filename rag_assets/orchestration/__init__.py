"""Dagster: assets, checks, jobs, sensors, schedules and resources.

An asset body translates: it calls one stage of the pipeline and reports what came back.

Knows Dagster, which no other folder does, and the pipeline; not how a stage works.
"""
