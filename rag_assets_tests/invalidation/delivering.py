"""A process that delivers again and again until it is killed: ``python -m … '{"store": …}'``."""

from __future__ import annotations

import json
import sys

from tenacity import wait_none

from rag_assets.corpus import Corpus
from rag_assets.invalidation import lease, published, telling
from rag_assets.invalidation.deliver import deliver
from rag_assets.store.objects import ObjectStore


def main() -> None:
    command = json.loads(sys.argv[1])
    lease.SECONDS, lease.POLL_SECONDS = 1.0, 0.01
    published.PAGE_DOCUMENTS = 2  # type: ignore[attr-defined]
    telling.PAUSES = wait_none()
    objects = ObjectStore.open(command["store"])
    corpus = Corpus.model_validate(command["corpus"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        deliver(objects, corpus, command["environ"])


if __name__ == "__main__":
    main()
