"""``python -m rag_assets_tests.soak --seed 7 --steps 500 --store local``: one walk, told step by step."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rag_assets_tests import servers
from rag_assets_tests.soak.record import record
from rag_assets_tests.soak.walk import Drawn, Walk, WalkFailed


def main() -> int:
    """Walk; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m rag_assets_tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--store", choices=["local", "s3"], default="local")
    parser.add_argument("--without", nargs="*", default=[], help="edits and operations to leave out")
    parser.add_argument("--only", nargs="*", default=[], help="operations to draw from")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a walk that failed")
    parser.add_argument("--record", action="store_true", help="write results.json and docs/soak.md anew")
    given = parser.parse_args()
    command = (
        f"python -m rag_assets_tests.soak --seed {given.seed} --steps {given.steps} --store {given.store}"
    )
    if given.without:
        command += f" --without {' '.join(given.without)}"
    if given.only:
        command += f" --only {' '.join(given.only)}"
    say(command)
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    failure = ""
    drawn = Drawn(frozenset(given.without), frozenset(given.only))
    with store(given.store, root) as (url, environ):
        os.environ.update(environ)
        walk = Walk(given.seed, url, root / "walk", environ, say, drawn)
        try:
            walk.play(given.steps, given.minutes)
        except WalkFailed as error:
            say(f"FAILED: {error}\n\nreplay: {command}")
            failure = str(error).splitlines()[0].replace(str(root), "")
    if failure and given.keep:
        say(f"folder: {root}")
    else:
        shutil.rmtree(root, ignore_errors=True)
    counts = vars(walk.counts)
    say(json.dumps(counts))
    if given.record:
        today = datetime.now(UTC).date().isoformat()
        record(
            {"date": today, "store": given.store, "seed": given.seed, "failure": failure, "counts": counts}
        )
    return 1 if failure else 0


@contextmanager
def store(kind: str, root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """An empty store, and the variables with which it is reached."""
    if kind == "local":
        yield str(root / "store"), {}
        return
    with servers.seaweedfs(root / "seaweedfs") as server:
        yield server.url("soak"), server.environ


def say(line: str) -> None:
    """One line, at once."""
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
