"""Events: what others announce about documents, on its way to a run.

``webhooks`` (HTTP in, proven and understood) → ``inbox`` (kept, in order, until readers see the effect).

Knows documents by source and path; not how a run carries an event out.
"""
