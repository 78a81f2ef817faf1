"""Which documents may be announced: ids that are well formed and have a place in a source of the corpus."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rag_assets.corpus import Corpus, FolderSource, PushSource, S3Source, Source
from rag_assets.events.inbox import Kind
from rag_assets.events.webhooks.origins import Origins
from rag_assets.ingest.parsing.formats import CONTENT_TYPES, EXTENSIONS, extension_of
from rag_assets.ingest.sources.globs import VERSION_CONTROL, Globs
from rag_assets.ingest.sources.push import why_no_place

LONGEST_ID = 1024
"""Bytes in UTF-8; what S3 allows for a key."""


class Places:
    """The places that a corpus has for documents, and the origins whose events may name them.

    Args:
        corpus: the corpus file.
        prefix: put before the paths that GitHub and S3 name.
    """

    def __init__(self, corpus: Corpus, prefix: str) -> None:
        self.origins = Origins.of(corpus)
        self._prefix = prefix
        self._sources = sorted(corpus.sources, key=lambda source: len(source.prefix), reverse=True)
        self._globs = {
            source.prefix: Globs(source.include, source.exclude)
            for source in corpus.sources
            if isinstance(source, FolderSource | S3Source)
        }

    def mistake(
        self, document: str, kind: Kind, *, content: bool = False, content_type: str | None = None
    ) -> str | None:
        """Why a change cannot be taken; None when it can."""
        malformed = _malformed(document)
        if malformed:
            return malformed
        source = self._source(document)
        if source is None:
            return "no source of the corpus has a prefix with which this document id starts"
        push = isinstance(source, PushSource)
        if push and (reason := why_no_place(source.prefix, document)) is not None:
            return f"the document id has no place in its source: {reason}"
        if content_type is not None and not content:
            return "content_type says what content is, and there is none"
        if kind in ("deleted", "erase"):
            return "a document that goes has no content" if content else None
        if push and not content:
            return "content is missing: the document belongs to a source of type push, which holds only what is sent"
        if not push and content:
            return (
                f"the document belongs to a source of type {source.type}, which holds it: leave content out"
            )
        if content and extension_of(document, content_type) is None:
            return (
                f"no parser reads it: expected a content_type of {', '.join(CONTENT_TYPES)}, or without one a "
                f"document id that ends with one of {', '.join(EXTENSIONS)}"
            )
        if not self._takes(document, source):
            return "include and exclude of its source leave the document out"
        return None

    def of_path(self, path: str, kind: Kind) -> Iterator[str]:
        """The document at a path of the corpus's repository, if the corpus has a place for it."""
        yield from self._kept(f"{self._prefix}{path}", kind)

    def of_object(self, bucket: str, key: str, kind: Kind) -> Iterator[str]:
        """The documents that are this S3 object: where the corpus has S3 sources, theirs; else one by its key."""
        sources = [source for source in self._sources if isinstance(source, S3Source)]
        if not sources:
            yield from self._kept(f"{self._prefix}{key}", kind)
        for source in sources:
            root = source.url.rstrip("/").removeprefix(f"s3://{source.bucket}").removeprefix("/")
            root += "/" if root else ""
            if bucket == source.bucket and key.startswith(root):
                yield from self._kept(f"{source.prefix}{key.removeprefix(root)}", kind, source)

    def _kept(self, document: str, kind: Kind, within: Source | None = None) -> Iterator[str]:
        """The document, if it has a place, in a certain source where one is given.

        Whoever announces a whole repository or bucket does not know what of it is documents, and says nothing of
        documents that others push.
        """
        source = None if self.mistake(document, kind) else self._source(document)
        if source is None or isinstance(source, PushSource) or (within is not None and source is not within):
            return
        if self._takes(document, source):
            yield document

    def _source(self, document: str) -> Source | None:
        return next((source for source in self._sources if document.startswith(source.prefix)), None)

    def _takes(self, document: str, source: Source) -> bool:
        if isinstance(source, PushSource):
            return True
        path = document.removeprefix(source.prefix)
        return self._globs[source.prefix].takes(path) and VERSION_CONTROL.isdisjoint(path.split("/"))


def _malformed(document: str) -> str | None:
    if not document or len(document.encode("utf-8", "surrogatepass")) > LONGEST_ID:
        return f"a document id has 1 to {LONGEST_ID:,} bytes"
    # Cc: control characters. Cs: halves of characters, which no database keeps.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in document):
        return "a document id has no control characters"
    if any(part in ("", ".", "..") for part in document.split("/")):
        return "a document id is a relative path: no slash at either end, no empty part, no '.' and no '..'"
    return None
