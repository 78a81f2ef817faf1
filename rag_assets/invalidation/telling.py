"""Tell one target what it is due: under its lease, page by page, and enter the outcome into its ledger.

A kill at any line leaves the old ledger: the next delivery tells the same again, or more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from rag_assets.errors import RagAssetsError
from rag_assets.invalidation.lease import Lease, LeaseLost, leased
from rag_assets.invalidation.ledger import Ledger, read_ledger, write_ledger
from rag_assets.invalidation.notice import Notice, Span, net_changes
from rag_assets.invalidation.open import OpenTarget
from rag_assets.invalidation.published import Published
from rag_assets.invalidation.target import Counting, Remembering, Superseded, TargetBusy
from rag_assets.store.objects import ObjectStore

TRIES = 4  # of one page within one delivery
LONGEST_PAUSE = 10.0  # seconds between two of them; with a request shorter than a lease
PAUSES: wait_base = wait_random_exponential(multiplier=0.5, max=LONGEST_PAUSE)

State = Literal["delivered", "up to date", "waiting", "busy", "failed", "dead"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one target.

    Attributes:
        target: its name.
        state: delivered; up to date (there was nothing to tell); waiting (it failed, and its pause is not
            over); busy (another process is telling it); failed (it is tried again); dead (something was given up,
            now or before).
        publication: the last publication that it was told of, or that was given up; 0 for none.
        pages: notices that it took now.
        error: why it failed, without secrets.
        next_attempt: when it may be tried again, ISO 8601.
    """

    target: str
    state: State
    publication: int
    pages: int = 0
    error: str | None = None
    next_attempt: str | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """How the targets of one corpus are told.

    Attributes:
        objects: the store.
        corpus: name of the corpus.
        max_attempts: deliveries in a row that may fail.
        again: do not wait, and tell what was given up, too.
    """

    objects: ObjectStore
    corpus: str
    max_attempts: int
    again: bool

    def tell(self, published: Published, target: OpenTarget) -> Outcome:
        """Tell one target what is published. Whatever goes wrong with it is its outcome."""
        told = 0
        try:
            ledger = read_ledger(self.objects, self.corpus, target.name)
            if ledger is not None:
                told = ledger.publication
                if not self.again and ledger.waits(datetime.now(UTC)):
                    return _outcome("waiting", ledger)
                if self._knows_all(ledger, published, target):
                    return _settled(ledger)
            with leased(self.objects, self._path(target)) as lease:
                if lease is None:
                    return Outcome(target.name, "busy", told, error="another process is telling it")
                return self._tell_alone(lease, target)
        except LeaseLost as error:
            return Outcome(target.name, "busy", told, error=str(error))
        except RagAssetsError as error:  # of the store
            return Outcome(target.name, "failed", told, error=target.environment.hide(error))

    def _path(self, target: OpenTarget) -> str:
        return f"corpora/{self.corpus}/invalidation/{target.name}.lease"

    def _knows_all(self, ledger: Ledger, published: Published, target: OpenTarget) -> bool:
        """Whether there is nothing to do, not even to enter; found out without the lease."""
        due = ledger.due(published.publication, published.erasure)
        if not due.empty or ledger.error is not None or (self.again and ledger.dead):
            return False
        if not _speaks_of(ledger, target, published):
            return False
        try:
            return _remembers(target, ledger)
        except RagAssetsError:
            return False  # is entered under the lease

    def _tell_alone(self, lease: Lease, target: OpenTarget) -> Outcome:
        # Anew: who held the lease before may have told more than was published when we first looked.
        published = Published(self.objects, self.corpus)
        ledger = self._ledger(target, published)
        if not self.again and ledger.waits(datetime.now(UTC)):
            return _outcome("waiting", ledger)
        try:
            if not _remembers(target, ledger):
                # A new epoch: in the old one, numbers of a lost history may be in use, or nobody listens.
                ledger = self._enter(ledger.anew(datetime.now(UTC)))
        except RagAssetsError as error:
            due = ledger.due(published.publication, published.erasure)
            return self._failed(ledger, due, published.candidate, error, target)
        ledger, span, notices = self._plan(ledger, published)
        if span.empty:
            settled = replace(ledger, attempts=0, error=None, next_attempt=None)
            return _settled(settled if settled == ledger else self._enter(settled))
        if isinstance(target.target, Counting) and ledger.telling < span.publication:
            # Before anything is sent: so a kill is told from a ledger that was put back.
            ledger = self._enter(replace(ledger, telling=span.publication))
        pages = 0
        try:
            for notice in notices:
                _send(lease, target, notice)
                pages += 1
        except LeaseLost:
            raise
        except RagAssetsError as error:
            if isinstance(error, Superseded):
                ledger = ledger.anew(datetime.now(UTC), error.epoch)
            due = ledger.due(published.publication, published.erasure)
            return replace(self._failed(ledger, due, published.candidate, error, target), pages=pages)
        told = ledger.delivered(span, published.candidate, datetime.now(UTC))
        return _outcome("delivered", self._enter(told), pages)

    def _ledger(self, target: OpenTarget, published: Published) -> Ledger:
        """The target's ledger, or a new one where nobody knows what it holds."""
        ledger = read_ledger(self.objects, self.corpus, target.name)
        if ledger is None or not _speaks_of(ledger, target, published):
            # Written before anything is sent: a kill must not change the epoch of what is repeated.
            return self._enter(Ledger(target.name, target.identity, datetime.now(UTC).isoformat()))
        return ledger

    def _plan(self, ledger: Ledger, published: Published) -> tuple[Ledger, Span, Iterable[Notice]]:
        """What to tell, and the ledger if that shows that everything must be forgotten."""
        due = ledger.due(published.publication, published.erasure)
        span = ledger.with_dead(due) if self.again else due
        changes = net_changes([]) if span.everything else published.changes(span.after)
        if changes is None:
            return self._plan(self._enter(replace(ledger, everything=True)), published)
        return ledger, span, published.notices(span, changes, ledger.epoch)

    def _failed(
        self, ledger: Ledger, due: Span, candidate: str, error: RagAssetsError, target: OpenTarget
    ) -> Outcome:
        now, reason = datetime.now(UTC), target.environment.hide(error)
        if error.retryable and ledger.attempts + 1 < self.max_attempts:
            pause = timedelta(seconds=error.pause if isinstance(error, TargetBusy) else 0)
            return _outcome("failed", self._enter(ledger.failed(reason, now, pause)))
        state: State = "failed" if due.empty else "dead"
        return _outcome(state, self._enter(ledger.given_up(due, candidate, reason, now)))

    def _enter(self, ledger: Ledger) -> Ledger:
        write_ledger(self.objects, self.corpus, ledger)
        return ledger


def _outcome(state: State, ledger: Ledger, pages: int = 0) -> Outcome:
    return Outcome(ledger.target, state, ledger.publication, pages, ledger.error, ledger.next_attempt)


def _settled(ledger: Ledger) -> Outcome:
    """The outcome where nothing is due: a target that was not told of something is not up to date."""
    if not ledger.dead:
        return _outcome("up to date", ledger)
    return replace(_outcome("dead", ledger), error=ledger.dead[-1].reason)


def _speaks_of(ledger: Ledger, target: OpenTarget, published: Published) -> bool:
    return ledger.speaks_of(
        target.identity,
        published.publication,
        published.erasure,
        published.candidate_of(ledger.publication),
    )


def _remembers(target: OpenTarget, ledger: Ledger) -> bool:
    """Whether the target is where the ledger says; one that must forget everything anyway is not asked."""
    if ledger.everything:
        return True
    if isinstance(target.target, Counting):
        return ledger.fits(target.target.told(ledger.epoch))
    if not isinstance(target.target, Remembering):
        return True
    return target.target.remembers(ledger.publication, ledger.epoch)


def _send(lease: Lease, target: OpenTarget, notice: Notice) -> None:
    """One page, again after short pauses while it is worth it."""

    def attempt() -> None:
        lease.extend()
        target.target.send(notice)

    Retrying(stop=stop_after_attempt(TRIES), wait=_pause, retry=retry_if_exception(_may_pass), reraise=True)(
        attempt
    )


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, LeaseLost | Superseded) or not isinstance(error, RagAssetsError):
        return False
    return error.retryable and not (isinstance(error, TargetBusy) and error.pause > LONGEST_PAUSE)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(PAUSES(state), error.pause if isinstance(error, TargetBusy) else 0.0)
