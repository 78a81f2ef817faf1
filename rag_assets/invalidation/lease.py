"""A lease: only one process at a time tells a target something, also across machines.

Numbered objects ``<path>/<n>.json``, each created only if absent: whoever creates the next number
holds the lease until the time written there, and may extend it. A killed holder's lease runs out.
Clocks of machines must agree within a few seconds.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rag_assets.errors import WorldError
from rag_assets.store.files import numbered
from rag_assets.store.objects import ObjectStore

SECONDS = 60.0
SPARE = 2 / 3  # part of the time that is left after ``extend``: enough for a request and the pause after it
POLL_SECONDS = 0.2
KEPT = 16  # numbers; a listing that overlaps with so many changes of hands at once is not to be expected


class LeaseLost(WorldError):
    """Another process holds the lease by now; what was planned under it must not be done."""


@dataclass(slots=True)
class Lease:
    """A lease that is held, as far as this process knows."""

    objects: ObjectStore
    path: str
    number: int
    token: str
    seconds: float
    until: float

    def extend(self) -> None:
        """Make sure that there is time left; to be called before every step that only the holder may do.

        Raises:
            LeaseLost: it ran out, or another process took it.
        """
        left = self.until - time.time()
        if left <= 0:
            raise LeaseLost(f"the lease {self.path} ran out; run again")
        if left > self.seconds * SPARE:
            return
        self._write(time.time() + self.seconds)
        if max(_numbers(self.objects, self.path)) != self.number:
            raise LeaseLost(f"another process took the lease {self.path}; run again")

    def release(self) -> None:
        """Let the next one in; without effect when another process holds it."""
        if time.time() < self.until:
            self._write(0.0)

    def _write(self, until: float) -> None:
        self.objects.put(_name(self.path, self.number), _record(self.token, until))
        self.until = until


@contextmanager
def leased(objects: ObjectStore, path: str) -> Iterator[Lease | None]:
    """Hold a lease while the block runs; None when another process holds it and keeps it.

    Waits until the lease of a process that was killed has run out.
    """
    lease = _acquire(objects, path, SECONDS)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


def _acquire(objects: ObjectStore, path: str, seconds: float) -> Lease | None:
    token = uuid.uuid4().hex
    deadline = time.monotonic() + seconds + POLL_SECONDS
    while True:
        newest = max(_numbers(objects, path), default=0)
        if newest == 0 or _until(objects, path, newest) <= time.time():
            until = time.time() + seconds
            number, record = newest + 1, _record(token, until)
            name = _name(path, number)
            created = objects.create(name, record) or objects.find(name) == record
            # Again: between the first look and this others may have come and gone, and cleared away.
            if created and max(_numbers(objects, path)) == number:
                objects.delete(_name(path, old) for old in _numbers(objects, path) if old <= number - KEPT)
                return Lease(objects, path, number, token, seconds, until)
        if time.monotonic() > deadline:
            return None
        time.sleep(POLL_SECONDS)


def _until(objects: ObjectStore, path: str, number: int) -> float:
    found = objects.find(_name(path, number))
    if found is None:  # cleared away: there are newer ones
        return float("inf")
    try:
        return float(json.loads(found)["until"])
    except (ValueError, KeyError, TypeError):  # damaged, so nobody can extend it
        return 0.0


def _record(token: str, until: float) -> bytes:
    return json.dumps({"holder": token, "until": until}).encode()


def _numbers(objects: ObjectStore, path: str) -> list[int]:
    return numbered(objects, path, ".json")


def _name(path: str, number: int) -> str:
    return f"{path}/{number:08d}.json"
