"""GitHub's push: files that commits added, modified and removed on the branch that counts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from rag_assets.events.inbox import Change, Kind
from rag_assets.events.webhooks.dialects.reading import (
    Foreign,
    Invalid,
    Moment,
    Reading,
    in_words,
    moment,
    parse,
)
from rag_assets.events.webhooks.places import Places

Paths = Annotated[list[str], Field(fail_fast=True)]


class Commit(Foreign):
    """What one commit did to files."""

    added: Paths = Field(default=[])
    modified: Paths = Field(default=[])
    removed: Paths = Field(default=[])


class HeadCommit(Foreign):
    """The commit that the branch leads to after the push."""

    timestamp: Moment


class Repository(Foreign):
    """The repository that was pushed to."""

    full_name: str
    default_branch: str
    pushed_at: int | str | None = Field(default=None, description="Seconds since 1970, or ISO 8601.")


class Push(Foreign):
    """A push as GitHub describes it; what is not read here is left aside."""

    ref: str
    repository: Repository
    commits: list[Commit] = Field(default=[], fail_fast=True)
    head_commit: HeadCommit | None = Field(default=None, description="null: the branch was deleted.")


def read_push(payload: Any, event: str, places: Places) -> Reading:
    """Changes of a push; none for another repository or branch. Raises Invalid and UnknownOrigin."""
    push = parse(Push, payload)
    repository = push.repository
    elsewhere = places.origins.elsewhere_of_push(repository.full_name, push.ref, repository.default_branch)
    if elsewhere is not None or push.head_commit is None:
        return Reading([], elsewhere=elsewhere)
    kinds: dict[str, Kind] = {}
    for commit in push.commits:  # oldest first: what a later one did to a file counts
        # Never "created", which lifts an erasure: nobody who adds a file decides that.
        kinds.update(dict.fromkeys((*commit.added, *commit.modified), "updated"))
        kinds.update(dict.fromkeys(commit.removed, "deleted"))
    occurred = _pushed_at(repository.pushed_at, push.head_commit)
    sender = in_words(f"GitHub {repository.full_name}")
    changes = [
        Change(event, document, kind, occurred, sender)
        for path, kind in kinds.items()
        for document in places.of_path(path, kind)
    ]
    return Reading(changes, len(kinds) - len(changes))


def _pushed_at(value: int | str | None, head: HeadCommit) -> datetime:
    """When it was pushed. Commits keep the time of their writing: a branch that is set back, or rebased, goes back."""
    if value is None:
        return head.timestamp
    try:
        return datetime.fromtimestamp(value, UTC) if isinstance(value, int) else moment(value)
    except (ValueError, OverflowError, OSError) as error:
        raise Invalid(["repository.pushed_at: expected a time"]) from error
