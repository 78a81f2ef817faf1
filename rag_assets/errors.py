"""The error family: what went wrong, whose turn it is, and whether a retry may help.

::

    RagAssetsError
    ├── DataError                 the input is wrong: fix documents or gold questions
    │   ├── QuarantineExceeded    more documents were quarantined than the corpus file allows
    │   ├── GoldSetError          a gold set that cannot be used
    │   ├── EmbeddingFailed       the model refused a batch of texts; a smaller one may pass
    │   └── SourceObjectUnreadable  one document that is listed but cannot be read
    ├── ConfigurationError        the set-up is wrong: fix the corpus file, settings or code
    │   ├── CorpusFileError       a mistake in corpora/<name>.yaml, with line and field
    │   ├── InvalidQuery          a search that cannot be made: its question, mode or number of hits
    │   │   └── InvalidFilter     a where condition that does not fit the table
    │   ├── SecretMissing         an environment variable that should hold a secret is not set
    │   ├── ModelError            the embedding model cannot be loaded or does not match
    │   └── UnsafeStore           the object store would lose commits
    ├── WorldError                something outside failed: try again later (retryable)
    │   ├── SnapshotConflict      another run committed the next snapshot first
    │   ├── StoreUnavailable      the object store did not answer
    │   ├── PoolBusy              another run holds what this one needs, and waiting has a limit
    │   ├── InboxUnavailable      the database of events did not answer
    │   ├── ModelUnavailable      a model behind an endpoint did not answer, or its engine died
    │   ├── ClusterUnavailable    the Ray cluster did not answer, or lost what it cannot make anew
    │   ├── TargetUnavailable     whom to tell about a publication did not answer
    │   ├── SourceUnavailable     a document source did not answer
    │   ├── SourceMissing         the folder of a source does not exist: waiting does not help
    │   └── SourceObjectVanished  one document went away after it was listed: treat it as deleted
    └── PublicationError          publishing stopped; readers still see the previous publication
        ├── VerificationFailed    the candidate does not hold exactly what its snapshot demands
        │   └── StageIncomplete   chunks or vectors that it needs are not in the store
        ├── GateRefused           the evaluation gate did not pass on exactly this version
        ├── PublicationConflict   another publisher was faster (retryable)
        └── NotPublished          there is no such publication to read or roll back to

Each class says whether the same call may be retried unchanged. Foreign exceptions are
translated at one seam per library and never escape a folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import quote

_SECRET = re.compile(
    # name=value in any quotes, and "name": value as in JSON. Not "max_tokens=5": an s after token is a number's name.
    r"""(?i)((?:password|passwd|pwd|passphrase|token|secret|api[_-]?key|secret[_-](?:access[_-])?key)"""
    r"""(?:[\\"']{0,4}[ \t]{0,9}=|[\\"']{1,4}[ \t]{0,9}:)[ \t]{0,9})"""
    r"""(?!…)(?:\\["'][^"'\n]*["']?|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[^\s&'"]+)"""
)


LONGEST_PART = 7
"""Characters of a longer secret that may be shown: servers echo it cut off."""


def redacted(message: str, secrets: Collection[str] = ()) -> str:
    """A message without passwords, queries of URLs, keys, tokens and control characters: for what others wrote.

    Args:
        message: what may be shown of it is returned.
        secrets: what must not be shown, not even the beginning of it.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in (secret, repr(secret)[1:-1], quote(secret, safe="", errors="replace")):
            # The beginning of a URL is no secret.
            shortest = len(form) if "://" in secret else min(len(form), LONGEST_PART + 1)
            for end in range(len(form), shortest - 1, -1):
                message = message.replace(form[:end], "…")
    message = re.sub(r"//[^/\s]*@", "//…@", printable(message))
    message = re.sub(r"(https?://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", message)
    message = re.sub(r"(?i)\bbearer\s+[^\s'\"]+", "Bearer …", message)
    return re.sub(r"whsec_[\w+/=-]+", "whsec_…", _SECRET.sub(r"\1…", message))


def printable(text: str) -> str:
    """A text without control characters but line breaks and tabs: terminals obey the others, XML forbids them."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", "\ufffd", text)


def well_formed(text: str) -> str:
    """Text that UTF-8 and databases can hold: surrogate pairs joined, lone surrogates and null characters replaced."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def install(extra: str) -> str:
    """The command that adds an extra, as it is written in a checkout; no registry has this package."""
    return f".venv/bin/pip install -c constraints.txt -e '.[{extra}]'"


class RagAssetsError(Exception):
    """Base of everything this package raises on purpose.

    ``retryable`` is true when the same call may succeed later without any change.
    """

    retryable: bool = False


class DataError(RagAssetsError):
    """The input is wrong."""


class QuarantineExceeded(DataError):
    """More documents were quarantined than the corpus file allows."""


class GoldSetError(DataError):
    """A gold set that cannot be read or that contradicts itself."""


class EmbeddingFailed(DataError):
    """The model refused a batch of texts; a smaller one may pass."""


class SourceObjectUnreadable(DataError):
    """One document that its source lists but will not give out."""


class ConfigurationError(RagAssetsError):
    """The set-up is wrong."""


class CorpusFileError(ConfigurationError):
    """One or more mistakes in a corpus file; the message lists each with file and line."""


class InvalidQuery(ConfigurationError):
    """A search that cannot be made: its question, mode, number of hits or condition is wrong."""


class InvalidFilter(InvalidQuery):
    """A where condition that is no SQL, names a column that the table does not have, or would cost too much."""


class SecretMissing(ConfigurationError):
    """An environment variable that should hold a secret is not set, or holds none."""


class ModelError(ConfigurationError):
    """The embedding model cannot be loaded, or is not the one that was asked for."""


class UnsafeStore(ConfigurationError):
    """The object store does not keep the guarantees on which publishing rests."""


class WorldError(RagAssetsError):
    """Something outside this program failed."""

    retryable = True


class StoreUnavailable(WorldError):
    """The object store did not answer, or refused the credentials."""


class PoolBusy(WorldError):
    """Another run holds a slot that this one needs, and did not give it back in time."""


class InboxUnavailable(WorldError):
    """The database of events did not answer."""


class ModelUnavailable(WorldError):
    """A model behind an endpoint did not answer, or an engine in this process died."""


class ClusterUnavailable(WorldError):
    """The Ray cluster did not answer, or gave up; what it had committed by then is not done again."""


class TargetUnavailable(WorldError):
    """Whom to tell about a publication did not answer, or is too busy."""


class SnapshotConflict(WorldError):
    """Another run committed the next snapshot first; run again on top of it."""


class SourceUnavailable(WorldError):
    """A document source did not answer."""


class SourceMissing(SourceUnavailable):
    """A source's folder or bucket does not exist; waiting does not help."""

    retryable = False


class SourceObjectVanished(WorldError):
    """One document went away between listing and reading; callers treat it as deleted."""

    retryable = False


class PublicationError(RagAssetsError):
    """Publishing stopped. The previous publication is untouched."""


class VerificationFailed(PublicationError):
    """The candidate does not hold exactly what its snapshot demands."""


class StageIncomplete(VerificationFailed):
    """Chunks or vectors that a candidate needs are not in the store."""


class GateRefused(PublicationError):
    """The evaluation gate did not pass on exactly this version."""


class PublicationConflict(PublicationError):
    """Another publisher was faster; run again on top of the new publication."""

    retryable = True


class NotPublished(PublicationError):
    """There is no such publication."""
