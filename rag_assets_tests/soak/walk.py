"""The driver: draws steps, plays them, and holds the store against the model after each."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TypeVar

from rag_assets_tests.soak import model
from rag_assets_tests.soak.actions import EDITS, OPERATIONS
from rag_assets_tests.soak.checks import Checker, Embedded
from rag_assets_tests.soak.model import Outcome, State
from rag_assets_tests.soak.processes import Command, Ended, Launcher
from rag_assets_tests.soak.readers import PollingReader, digest_of, plain_client, service
from rag_assets_tests.soak.world import CORPUS, Files

ROOT = Path(__file__).resolve().parents[2]
MOST_EDITS = 4
Action = TypeVar("Action")


@dataclass
class Counts:
    """What a walk did."""

    steps: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    publications: int = 0
    refusals: int = 0
    kills: int = 0
    interrupts: int = 0
    damages: Counter[str] = field(default_factory=Counter)
    polled_reads: int = 0
    embedded_texts: int = 0
    embedded_again: int = 0


class WalkFailed(AssertionError):
    """A step did not end as the model says. The message replays it."""


class Drawn:
    """The rows of the tables that a walk draws from.

    Args:
        without: names of edits and operations that are left out.
        only: names of the operations; all when it is empty.
    """

    def __init__(self, without: frozenset[str] = frozenset(), only: frozenset[str] = frozenset()) -> None:
        self.edits = [(weight, one) for weight, one in EDITS if one.__name__ not in without]
        self.operations = [
            (weight, one)
            for weight, one in OPERATIONS
            if one.__name__ not in without and (not only or one.__name__ in only)
        ]


EVERYTHING = Drawn()


class Walk:
    """One walk.

    Args:
        seed: of everything that is drawn.
        store: URL of an empty store.
        root: an empty folder.
        environ: variables with which the store is reached.
        say: told each step.
        drawn: which edits and operations are drawn.
    """

    def __init__(
        self,
        seed: int,
        store: str,
        root: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        drawn: Drawn = EVERYTHING,
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.files = Files(root, self.chance)
        self.state = State()
        self.counts = Counts()
        self.seconds_of_a_run = 3.0
        self._say = say
        self._history: list[str] = []
        self._drawn = drawn
        self.homes = [root / "dagster", root / "other-dagster"]
        for home in self.homes:
            home.mkdir()
            shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
        self._environ = {
            **environ,
            "RAG_STORE": store,
            "RAG_CORPORA": str(self.files.corpora),
            "RAG_BY": "soak",
            "DAGSTER_HOME": str(self.homes[0]),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "COLUMNS": "200",
        }
        outputs = root / "outputs"
        outputs.mkdir()
        self._embedded_log = root / "embedded.jsonl"
        self.embedded = Embedded(self._embedded_log)
        self.checker = Checker(store, self.files.corpora / f"{CORPUS}.yaml")
        self.refused: bool | None = None
        """Whether ``status`` must say that a version was refused; None when that is not known."""
        self._allowed: set[int] = set()
        self._tolerant = False
        self._tag_lags = False
        self._readers: list[PollingReader] = []
        self.launcher = Launcher(outputs)
        self._open = ExitStack()
        self._open.callback(self.launcher.close)
        self._store = store

    # -- what operations use ----------------------------------------------------------------

    def reason(self) -> str:
        """The reason of this step's publications."""
        return f"step {self.counts.steps}"

    def command(self, *arguments: str, dagster: bool = True) -> Command:
        """A command in the walk's environment."""
        return Command(arguments, self._environ, str(self._embedded_log), dagster)

    def ended(self, ended: Ended, outcome: Outcome) -> None:
        """Hold how a process ended against the model."""
        assert "Traceback" not in ended.err, f"a trace instead of a message:\n{ended.err}"
        assert outcome.agrees(ended.code, ended.message), (
            f"ended with {ended.code}, expected {outcome}:\n{ended.message}"
        )
        self.embedded.take()
        self.counts.refusals += ended.code == model.REFUSED

    def follow(self, state: State) -> None:
        """Take over what was published."""
        for published in state.log:
            if published not in self.state.log:
                self.counts.publications += published.reason.startswith(self.reason())
                self._allowed.add(digest_of(row.seen for row in published.spec.rows))
        self.state = state

    def killed(self, ended: Ended, state: State) -> str:
        """Find out how far a process came that was killed or interrupted; ``state`` is what it was to reach."""
        assert "Traceback" not in ended.err, f"a trace instead of a message:\n{ended.err}"
        stopped = ended.code not in (model.DONE, model.FAILED, model.REFUSED)
        self.counts.kills += ended.code == -9
        self.counts.interrupts += stopped and ended.code != -9
        self.embedded.take(killed=True)
        self.refused = None
        self.checker.may_lag = True
        before = self.state
        found = self.matching([before, state], partial=True, shown="a killed process")
        self.follow(found)
        if ended.code != -9 and not stopped:
            return "it had ended"
        return "after it had published" if len(found.log) > len(before.log) else "in time"

    def matching(self, states: Iterable[State], *, partial: bool, shown: str) -> State:
        """The one of some states in which the log in the store is.

        Args:
            states: what may be.
            partial: who published may have died before it dropped what need not be retained any more.
            shown: for the message that says that it is none of them.
        """
        numbers = frozenset(self.checker.log.versions())
        found = [(one.number, one.kind, one.reason) for one in self.checker.log.history()]
        most = self.state.retained | {max(numbers, default=0)}
        wanted = []
        for state in states:
            wanted.append([(one.number, one.kind, one.reason) for one in state.on_record])
            kept = state.retained == numbers or (
                partial and state.retained <= numbers <= most | state.retained
            )
            if found == wanted[-1] and kept:
                return replace(state, retained=numbers)
        raise AssertionError(
            f"{shown}: the log ends {found[-3:]} with {sorted(numbers)} retained; allowed: "
            f"{[one[-3:] for one in wanted]}"
        )

    def tolerate_errors(self) -> None:
        """Readers may meet errors in this step, and see what was published before."""
        self._tolerant = True
        for published in self.state.log[-2:]:
            self._allowed.add(digest_of(row.seen for row in published.spec.rows))

    def note(self, line: str) -> None:
        """Keep what happened within a step, for the message of a failure."""
        self._history.append(f"   {line}")

    def took(self, ended: Ended) -> None:
        """Learn how long a run takes, so that kills strike within it."""
        self.seconds_of_a_run = 0.8 * self.seconds_of_a_run + 0.2 * ended.seconds

    def judged(self, ended: Ended, state: State) -> None:
        """Note what ``status`` must say of refusals; ``state`` is what the run left."""
        head, spec = state.head, self.files.world.spec
        if model.stopped(self.files.world) is not None:
            return  # nothing was evaluated
        # What is published, and held to later rules, was not refused.
        published = head is not None and (spec == head.spec or spec in head.held)
        self.refused = ended.code == model.REFUSED and not published

    def told(self, what: str, ended: Ended) -> str:
        """What an operation did, in words."""
        head = self.state.head
        ends = {model.DONE: "done", model.FAILED: "failed", model.REFUSED: "refused"}[ended.code]
        return f"{what}: {ends}; readers see {head.number if head else 0}"

    # -- the walk ---------------------------------------------------------------------------

    def play(self, steps: int, minutes: float) -> Counts:
        """Walk.

        Args:
            steps: at most.
            minutes: after which no further step begins.

        Raises:
            WalkFailed: something was not as the model says.
        """
        deadline = time.monotonic() + minutes * 60
        try:
            self._step(lambda: "first publication: " + OPERATIONS[0][1](self, self.chance))
            self._readers += [service(CORPUS, self._store), plain_client(CORPUS, self._store)]
            for reader in self._readers:
                reader.start()
            while self.counts.steps < steps and time.monotonic() < deadline:
                self._step(self._draw)
        except Exception as error:
            raise WalkFailed(self._explained(error)) from error
        finally:
            for reader in self._readers:
                reader.end()
            self._open.close()
        return self.counts

    def _step(self, play: Callable[[], str]) -> None:
        self.counts.steps += 1
        started = time.monotonic()
        head = self.state.head
        if head is not None:
            self._allowed = {digest_of(row.seen for row in head.spec.rows)}
            if self._tag_lags:  # until another process moves it
                self._allowed.add(digest_of(row.seen for row in self.state.log[-2].spec.rows))
        self.checker.may_lag = False
        said = play()
        self._tag_lags = self.checker.everything(self.state, self.refused, self.chance)
        assert self.state.head is not None
        spec = self.state.head.spec
        assert not self.embedded.missing(spec.embedder, spec.texts), (
            "published texts are missing in the log of embeddings"
        )
        self._readers_saw()
        self._tolerant = False
        line = f"{self.counts.steps}: {said} ({time.monotonic() - started:.1f} s)"
        self._history.append(line)
        self._say(line)

    def _draw(self) -> str:
        said = []
        for _ in range(self.chance.randint(0, MOST_EDITS)):
            edit = self._one_of(self._drawn.edits)
            done = edit(self.files, self.chance)
            if done is not None:
                said.append(done)
                self.note(done)
        operation = self._one_of(self._drawn.operations)
        self.counts.operations[operation.__name__] += 1
        self.note(operation.__name__)
        return "; ".join([*said, operation(self, self.chance)])

    def _one_of(self, table: Sequence[tuple[int, Action]]) -> Action:
        return self.chance.choices([one for _, one in table], [weight for weight, _ in table])[0]

    def _readers_saw(self) -> None:
        for reader in self._readers:
            seen, errors = reader.taken()
            assert self._tolerant or not errors, f"a polling reader met an error: {errors[0]}"
            assert seen <= self._allowed, "a polling reader saw what was never published"
        self.counts.polled_reads = sum(reader.looks for reader in self._readers)
        self.counts.embedded_texts, self.counts.embedded_again = self.embedded.texts, self.embedded.repeated

    def _explained(self, error: Exception) -> str:
        return f"seed {self.seed}, step {self.counts.steps}: {error}\n\n" + "\n".join(self._history[-60:])
