"""Which senders of GitHub and S3 events a corpus means: a repository and branch, a bucket.

A valid signature says that a sender knows the secret, not that its event is about this corpus: a webhook of an
organization sends the pushes of all its repositories, and a storage server the records of all its buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag_assets.corpus import Corpus, S3Source

Elsewhere = Literal["another-repository", "another-branch", "another-bucket"]
"""Why an event changes nothing: it is about something else."""


class UnknownOrigin(Exception):
    """The corpus file does not say whose events it means; the message names the field to set."""


@dataclass(frozen=True, slots=True)
class Origins:
    """What a corpus file says about the origins of events.

    Args:
        repository: of GitHub, owner/name.
        branch: of that repository; None stands for its default branch.
        buckets: of S3.
    """

    repository: str | None
    branch: str | None
    buckets: frozenset[str]

    @staticmethod
    def of(corpus: Corpus) -> Origins:
        """The origins of a corpus; those of S3 events are the buckets of its sources, where it has such."""
        webhooks = corpus.events and corpus.events.webhooks
        if not webhooks:
            return Origins(None, None, frozenset())
        sources = [source.bucket for source in corpus.sources if isinstance(source, S3Source)]
        named = [webhooks.bucket] if webhooks.bucket else []
        return Origins(webhooks.repository, webhooks.branch, frozenset(sources or named))

    def elsewhere_of_push(self, repository: str, ref: str, default_branch: str) -> Elsewhere | None:
        """Why a push changes nothing; None when it is of the corpus's repository and branch.

        Raises:
            UnknownOrigin: the corpus file names no repository.
        """
        if self.repository is None:
            raise UnknownOrigin(
                "events.webhooks.repository is unset, and no push counts: set it to owner/name"
            )
        if repository.lower() != self.repository.lower():  # to GitHub, case makes no difference
            return "another-repository"
        return None if ref == f"refs/heads/{self.branch or default_branch}" else "another-branch"

    def elsewhere_of_record(self, bucket: str) -> Elsewhere | None:
        """Why a record of a bucket changes nothing; None when the bucket is one of the corpus's.

        Raises:
            UnknownOrigin: the corpus file names no bucket.
        """
        if not self.buckets:
            raise UnknownOrigin(
                "the corpus has no source of type s3, and events.webhooks.bucket is unset: set it"
            )
        return None if bucket in self.buckets else "another-bucket"
