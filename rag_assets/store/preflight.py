"""Refuse an object store that would lose commits, before the first write.

LanceDB commits a version, and a publisher claims a publication, by writing an object *only if
there is none* (a conditional put). Some S3-compatible servers accept the condition and ignore
it: each of two writers is told that it won, the later object replaces the earlier, and rows
that were committed disappear without an error. Nothing afterwards can notice. So the condition
is tried out first: ``check_store(objects)`` raises UnsafeStore or returns.

A passed check is remembered in the process, and for S3 also in the store (``preflight.json``),
so that a run with nothing to do costs one read. The marker is safe within these bounds: it counts
only for the URL and endpoint that were checked, so a bucket copied to another server is checked
there; and it expires after a day, since another server may take over the same name. A local
folder is cheap to check and has no marker.
"""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from rag_assets.errors import UnsafeStore
from rag_assets.store.objects import ObjectStore, s3_options

MARKER = "preflight.json"
MARKER_SECONDS = 86_400
WRITERS = 8
_SAFE_SERVERS = (
    "Amazon S3, Cloudflare R2, a recent MinIO or SeaweedFS 4.48 or later (on which this check is tested), "
    "or use a local folder"
)
_passed: set[str] = set()


def check_store(objects: ObjectStore) -> None:
    """Prove that ``create`` is exclusive and that writes are seen at once. About 25 small requests.

    What it writes lies below ``preflight/`` and is deleted again, except for the marker.

    Raises:
        UnsafeStore: saying what was tried, what was found, what would be lost and what to do.
        StoreUnavailable: the store did not answer.
    """
    place = _place(objects)
    if place in _passed:
        return
    if objects.is_local or not _marked(objects, place):
        prefix = f"preflight/{uuid.uuid4().hex}"
        try:
            _check_visibility(objects, f"{prefix}-visible")
            _check_second_create(objects, f"{prefix}-exclusive")
            _check_racing_creates(objects, f"{prefix}-raced")
        finally:
            objects.delete(f"{prefix}-{name}" for name in ("visible", "exclusive", "raced"))
        if not objects.is_local:
            objects.put(MARKER, json.dumps({"place": place, "passed_at": int(time.time())}).encode())
    _passed.add(place)


def _check_second_create(objects: ObjectStore, path: str) -> None:
    first, second = b"first", b"second"
    won = objects.create(path, first), objects.create(path, second)
    found = objects.get(path)
    if won != (True, False) or found != first:
        kept = "replaced" if found == second else "kept"
        raise _unsafe(
            objects,
            "to create one object twice, each time on condition that there is none",
            f"the first was {_told(won[0])}, the second was {_told(won[1])}, the first content was {kept}",
        )


def _check_racing_creates(objects: ObjectStore, path: str) -> None:
    contents = [f"writer {number}".encode() for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        won = [*pool.map(lambda content: objects.create(path, content), contents)]
    winners = [content for content, told in zip(contents, won, strict=True) if told]
    found = objects.get(path)
    if winners != [found]:
        raise _unsafe(
            objects,
            f"to create one object from {WRITERS} threads at once, each on condition that there is none",
            f"{len(winners)} were told that they created it, and it holds what {found.decode()} wrote",
        )


def _check_visibility(objects: ObjectStore, path: str) -> None:
    for content in (b"old", b"new"):
        objects.put(path, content)
        found = objects.find(path)
        if found != content:
            raise _unsafe(objects, f"to read an object just written with {content!r}", f"it gave {found!r}")
    folder = path.rpartition("/")[0]
    if path not in {info.path for info in objects.list(folder)}:
        raise _unsafe(objects, "to list an object just written", "it was not in the list")
    objects.delete([path])
    if objects.find(path) is not None or any(info.path == path for info in objects.list(folder)):
        raise _unsafe(objects, "to delete an object", "it was still read or listed afterwards")


def _marked(objects: ObjectStore, place: str) -> bool:
    try:
        marker = json.loads(objects.find(MARKER) or b"{}")
        age = time.time() - int(marker.get("passed_at", 0))
    except (ValueError, TypeError, AttributeError):
        return False  # not a marker of ours: check again and replace it
    return marker.get("place") == place and 0 <= age < MARKER_SECONDS


def _place(objects: ObjectStore) -> str:
    """What was checked: the URL, and for S3 the endpoint that it goes to."""
    if objects.is_local:
        return objects.url
    return f"{objects.url} at {s3_options().get('aws_endpoint_url', 'AWS')}"


def _told(won: bool) -> str:
    return "accepted" if won else "refused"


def _unsafe(objects: ObjectStore, attempted: str, found: str) -> UnsafeStore:
    return UnsafeStore(
        f"the store {_place(objects)} is not safe to publish to.\n"
        f"  Attempted: {attempted}.\n"
        f"  Found: {found}.\n"
        "  At stake: LanceDB commits and publications rest on this. Concurrent commits would overwrite\n"
        "    each other without an error, so that published rows disappear, and two publishers would both\n"
        "    be told that they won.\n"
        "  What to do: point RAG_STORE to a server that honours conditional puts (If-None-Match):\n"
        f"    {_SAFE_SERVERS}."
    )
