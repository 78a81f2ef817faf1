"""Twelve documents with one rule of a house each, and a gold question on each: a corpus that can lose some of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rag_assets_tests.workspace import Workspace

THINGS = (
    "rent",
    "lift",
    "dogs",
    "garden",
    "heating",
    "parking",
    "noise",
    "keys",
    "bins",
    "cellar",
    "roof",
    "door",
)
NO_STEP_BACK = {"metric": "recall@5", "max_drop": 0.05}
ALL_FOUND = {"metric": "recall@5", "min": 1.0}


def fact(thing: str) -> str:
    return f"Under the {thing} rules tenants wait {THINGS.index(thing) + 3} working days for an answer."


def page(thing: str) -> str:
    return f"# The {thing}\n\n{fact(thing)}\n"


def asked(thing: str, **more: Any) -> dict[str, Any]:
    question = f"How many working days do tenants wait under the {thing} rules?"
    return {"id": thing, "question": question, "documents": [f"{thing}.md"], **more}


def ask(made: Workspace, *lines: dict[str, Any]) -> None:
    gold = made.path.parent / "gold.jsonl"
    gold.write_text("".join(json.dumps(line) + "\n" for line in lines or [asked(thing) for thing in THINGS]))


def remove(made: Workspace, thing: str) -> None:
    (made.documents / f"{thing}.md").unlink()


def configure(made: Workspace, *rules: dict[str, Any], removed: float = 0.5, **evaluation: Any) -> None:
    made.configure(
        evaluation={"gold": "gold.jsonl", "max_stale_share": 1.0, **evaluation},
        gate={"rules": list(rules), "max_removed_share": removed},
    )


def fresh(root: Path, *rules: dict[str, Any], **evaluation: Any) -> Workspace:
    made = Workspace(root, str(root / "store"))
    configure(made, *rules, **evaluation)
    for thing in THINGS:
        made.write(f"{thing}.md", page(thing))
    ask(made)
    return made
