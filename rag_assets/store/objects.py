"""Object storage on one URL: a local folder and S3 behind the same few verbs.

``ObjectStore.open(url)`` → put / create / get / list / delete. Every write is whole or not
at all; ``create`` succeeds for exactly one caller. This file is the seam to obstore: no
foreign exception leaves it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, S3Store

from rag_assets.errors import ConfigurationError, StoreUnavailable, redacted
from rag_assets.store.advice import advice
from rag_assets.store.durability import flush

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig, S3Config

# A dead server is reported after about 2 s of retries, a silent one after the connect timeout's.
_RETRY: RetryConfig = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
_S3_URL = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^?#]*)?")
_DELETES_AT_ONCE = 16
_CLOCK = "clock"


class ObjectLost(StoreUnavailable):
    """An object is not there, or not what was written."""

    retryable = False


class ObjectNotFound(ObjectLost):
    """No object under this path."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One listed object: path relative to the store, size in bytes, time of change with time zone."""

    path: str
    size: int
    etag: str | None
    modified: datetime


def s3_options(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Connection options that obstore, Polars and LanceDB need beyond the AWS_… environment.

    Raises:
        ConfigurationError: the endpoint holds a user name or password. No S3 server reads them there,
            and the libraries would write them into their error messages.
    """
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    if "@" in urlsplit(endpoint).netloc:
        raise ConfigurationError(
            f"AWS_ENDPOINT_URL {redacted(endpoint)!r} holds a user name or password: give the keys in "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and the URL without them"
        )
    options = {"aws_region": environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"}
    if endpoint:
        options["aws_endpoint_url"] = endpoint
    if endpoint.startswith("http://"):
        options["allow_http"] = "true"
    return options


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A prefix of an object store, or a local folder. May be used by many threads at once."""

    url: str
    backend: LocalStore | S3Store

    @classmethod
    def open(cls, url: str | Path) -> ObjectStore:
        """Open a store by URL; a local folder is made when it is missing. No request is sent.

        Args:
            url: a path, or ``s3://bucket/prefix``.

        Raises:
            ConfigurationError: for any other URL, or a folder that cannot be made.
        """
        text = str(url)
        if text.startswith("s3://"):
            return cls(text.rstrip("/"), _open_s3(text.rstrip("/")))
        if "://" in text or not text.strip():
            shown = redacted(repr(text))
            raise ConfigurationError(f"store {shown}: allowed are a local folder and s3://bucket/prefix")
        try:
            root = Path(text).expanduser().resolve()
            root.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:  # the latter: no such user, or a link to itself
            raise ConfigurationError(f"store {text!r}: cannot make the folder: {error}") from error
        return cls(str(root), LocalStore(root))

    @property
    def is_local(self) -> bool:
        """True for a local folder."""
        return isinstance(self.backend, LocalStore)

    @property
    def storage_options(self) -> dict[str, str]:
        """Options for Polars and LanceDB to reach the same objects; empty for a local folder."""
        return {} if self.is_local else s3_options()

    def uri(self, path: str) -> str:
        """Absolute path or s3:// URL of an object, for Polars and LanceDB."""
        return f"{self.url}/{path}"

    def put(self, path: str, data: bytes | Path) -> None:
        """Write an object atomically, replacing what is there: some bytes, or a local file of any size."""
        with self._translated("write", path):
            obstore.put(self.backend, path, data)

    def create(self, path: str, data: bytes) -> bool:
        """Write an object only if there is none. True for at most one of many concurrent callers.

        False says that there is one now. When an answer is lost on the way and the request is
        repeated, that one may be the caller's own: who must know puts something unique into
        ``data`` and reads it back.
        """
        with self._translated("create", path):
            try:
                obstore.put(self.backend, path, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def get(self, path: str, limit: int | None = None) -> bytes:
        """The object's bytes; where they are more than ``limit``, so many and one more. Raises ObjectNotFound."""
        with self._translated("read", path):
            found = obstore.get(self.backend, path)
            if limit is not None and found.meta["size"] > limit:
                return bytes(obstore.get_range(self.backend, path, start=0, end=limit + 1))
            return bytes(found.bytes())

    def find(self, path: str) -> bytes | None:
        """The object's bytes, or None when there is none."""
        try:
            return self.get(path)
        except ObjectNotFound:
            return None

    def info(self, path: str) -> ObjectInfo | None:
        """What a listing would say about one object, or None when there is none."""
        try:
            with self._translated("look at", path):
                meta = obstore.head(self.backend, path)
        except ObjectNotFound:
            return None
        except ValueError:  # how obstore refuses a path that no object can have
            return None
        return _info(meta)

    def now(self) -> datetime:
        """The time on the clock of the store, which also tells when objects were modified. Writes one small object."""
        self.put(_CLOCK, b"")
        written = self.info(_CLOCK)
        if written is None:
            raise ObjectNotFound(f"{self.uri(_CLOCK)}: no such object")
        return written.modified

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a prefix (a folder, without trailing slash), in no order.

        Unfinished local writes (``name#1``) are not objects and not listed.
        """
        with self._translated("list", prefix):
            for batch in obstore.list(self.backend, prefix=prefix):
                for meta in batch:
                    yield _info(meta)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; missing ones are no error."""
        # One request each: not every S3-compatible server knows the request that deletes many.
        with ThreadPoolExecutor(_DELETES_AT_ONCE) as pool:
            for _ in pool.map(self._delete, paths):
                pass

    def sync(self, *places: str, since: float = 0.0) -> None:
        """Flush folders of a local store to the disk, and those above them; object stores are durable at once.

        Args:
            places: folders; missing ones are left out.
            since: what has not changed since then is on the disk already; seconds since 1970.
        """
        if self.is_local:
            with self._translated("flush", ", ".join(places)):
                flush(Path(self.url), places, since)

    def _delete(self, path: str) -> None:
        with self._translated("delete", path):
            try:
                obstore.delete(self.backend, path)
            except (NotFoundError, FileNotFoundError) as error:
                if _no_bucket(error):
                    raise

    @contextmanager
    def _translated(self, verb: str, path: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            attempt = f"could not {verb} {self.uri(path)}"
            if _no_bucket(error):
                # Not ObjectNotFound: a bucket that is missing must never look like an empty store.
                raise StoreUnavailable(f"{attempt}: no such bucket; create it or correct the URL") from error
            if isinstance(error, NotFoundError | FileNotFoundError):
                raise ObjectNotFound(f"{self.uri(path)}: no such object; {advice(path)}") from error
            if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
                raise StoreUnavailable(f"{attempt}: {_refused(self.is_local)}") from error
            raise StoreUnavailable(f"{attempt}: {_reason(error)}") from error


def _info(meta: ObjectMeta) -> ObjectInfo:
    # Some servers put the tag into quotes in one answer and not in another.
    etag = meta["e_tag"] and meta["e_tag"].strip('"')
    return ObjectInfo(meta["path"], meta["size"], etag, meta["last_modified"])


def _open_s3(url: str) -> S3Store:
    if not _S3_URL.fullmatch(url):
        shown = redacted(repr(url))
        raise ConfigurationError(f"store {shown}: allowed is s3://bucket/prefix, without '?' and '#'")
    options = s3_options()
    config: S3Config = {"region": options["aws_region"]}
    if "aws_endpoint_url" in options:
        config["endpoint"] = options["aws_endpoint_url"]
    client: ClientConfig = {
        "timeout": timedelta(seconds=60),
        "connect_timeout": timedelta(seconds=5),
        "allow_http": "allow_http" in options,
    }
    try:
        return S3Store.from_url(url, config=config, client_options=client, retry_config=_RETRY)
    except BaseError as error:
        raise ConfigurationError(f"store {url!r}: {_reason(error)}") from error


def _no_bucket(error: Exception) -> bool:
    return "<Code>NoSuchBucket</Code>" in str(error)


def _refused(local: bool) -> str:
    if local:
        return "permission denied"
    return (
        "the server refused the credentials or they do not allow this; "
        "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and the bucket's policy"
    )


def _reason(error: Exception) -> str:
    """First line of a foreign message, without the XML that servers append and without URL passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].split(": <?xml")[0]
    if "169.254.169.254" in line:  # where obstore asks when the environment holds no credentials
        return "found no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return redacted(line)
