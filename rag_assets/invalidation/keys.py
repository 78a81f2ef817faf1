"""Names under which caches keep what belongs to a corpus. No I/O.

Three kinds: keys that name a publication, so that new questions miss by construction; surrogate
keys of a CDN; and the names in Redis, of which all of a corpus share one hash tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


def versioned_key(key: str, publication: int) -> str:
    """A key that only readers of one publication use: after the next one it is asked for no more.

    Works with every cache and needs no purge; what is left behind must expire by itself.
    """
    return f"p{publication}:{key}"


def surrogate_key(template: str, corpus: str, document: str = "") -> str:
    """The surrogate key (cache tag) of a document, or of a whole corpus.

    Args:
        template: ``key`` or ``everything_key`` of the corpus file.
        corpus: name of the corpus.
        document: a document id; percent-encoded, since CDNs separate keys by white space or commas.
    """
    return template.replace("{corpus}", corpus).replace("{document}", quote(document, safe="/"))


@dataclass(frozen=True, slots=True)
class RedisKeys:
    """What a corpus keeps in Redis.

    ::

        {rag:handbook}:meta       hash    current, floor, generation, epoch, flushed, ttl
        {rag:handbook}:changes    zset    document → publication in which it changed last
        {rag:handbook}:times      zset    publication → when it was told
        {rag:handbook}:erased     set     documents that no answer may use
        {rag:handbook}:ttl        hash    document → seconds, where shorter than meta's ttl
        {rag:handbook}:a:<key>    hash    an answer: v value, p publication, g generation, d:<document> …
        {rag:handbook}:d:<id>     zset    keys of answers that used a document → when they expire

    The part in braces is the hash tag: a cluster keeps all of them on one shard, so that a script
    may use them together.
    """

    corpus: str

    @property
    def meta(self) -> str:
        """What is known of the whole corpus."""
        return self._named("meta")

    @property
    def changes(self) -> str:
        """When documents changed."""
        return self._named("changes")

    @property
    def times(self) -> str:
        """When publications were told."""
        return self._named("times")

    @property
    def erased(self) -> str:
        """Documents that no answer may use."""
        return self._named("erased")

    @property
    def ttl(self) -> str:
        """How long answers live."""
        return self._named("ttl")

    def answer(self, key: str) -> str:
        """An answer."""
        return self._named(f"a:{key}")

    def index(self, document: str) -> str:
        """The answers that used a document."""
        return self._named(f"d:{document}")

    def _named(self, name: str) -> str:
        return f"{{rag:{self.corpus}}}:{name}"
