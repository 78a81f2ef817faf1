"""The driver: draws steps, plays them, and holds the store against the model after each."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from rag_assets_tests.soak import model
from rag_assets_tests.soak.actions import EDITS, OPERATIONS
from rag_assets_tests.soak.checks import Checker, Embedded
from rag_assets_tests.soak.model import Outcome, State
from rag_assets_tests.soak.processes import Command, Ended, Launcher
from rag_assets_tests.soak.readers import PollingReader, digest_of, plain_client, service
from rag_assets_tests.soak.world import CORPUS, Files

ROOT = Path(__file__).resolve().parents[2]
MOST_EDITS = 4


@dataclass
class Counts:
    """What a walk did."""

    steps: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    publications: int = 0
    refusals: int = 0
    kills: int = 0
    polled_reads: int = 0
    embedded_texts: int = 0
    embedded_again: int = 0


class WalkFailed(AssertionError):
    """A step did not end as the model says. The message replays it."""


class Walk:
    """One walk.

    Args:
        seed: of everything that is drawn.
        store: URL of an empty store.
        root: an empty folder.
        environ: variables with which the store is reached.
        say: told each step.
        without: names of edits and operations that are left out.
    """

    def __init__(
        self,
        seed: int,
        store: str,
        root: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.files = Files(root, self.chance)
        self.state = State()
        self.counts = Counts()
        self.seconds_of_a_run = 3.0
        self._say = say
        self._history: list[str] = []
        self._without = without
        home = root / "dagster"
        home.mkdir()
        shutil.copy(ROOT / "dagster.yaml", home / "dagster.yaml")
        self._environ = {
            **environ,
            "RAG_STORE": store,
            "RAG_CORPORA": str(self.files.corpora),
            "RAG_BY": "soak",
            "DAGSTER_HOME": str(home),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "COLUMNS": "200",
        }
        outputs = root / "outputs"
        outputs.mkdir()
        self._embedded_log = root / "embedded.jsonl"
        self.embedded = Embedded(self._embedded_log)
        self.checker = Checker(store, self.files.corpora / f"{CORPUS}.yaml")
        self._allowed: set[int] = set()
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
        assert ended.code == outcome.code, f"ended with {ended.code}, expected {outcome}:\n{ended.message}"
        assert outcome.says in ended.message, f"the message lacks {outcome.says!r}:\n{ended.message}"
        self.embedded.take()
        if outcome.code == model.REFUSED:
            self.counts.refusals += 1

    def follow(self, state: State) -> None:
        """Take over what was published."""
        self.counts.publications += len(state.log) - len(self.state.log)
        for published in state.log[len(self.state.log) :]:
            self._allowed.add(digest_of(row.seen for row in published.spec.rows))
        self.state = state

    def killed(self, ended: Ended, state: State) -> str:
        """Find out how far a killed process came; ``state`` is what it was to reach."""
        if ended.code != -9:
            assert "Traceback" not in ended.err, f"a trace instead of a message:\n{ended.err}"
        else:
            self.counts.kills += 1
        self.embedded.take(killed=ended.code == -9)
        numbers = set(self.checker.log.versions())
        assert numbers, "all publications are gone"
        before, after = self.state, state
        if max(numbers) == len(before.log):
            reached = before
        else:
            assert max(numbers) == len(after.log), f"publication {max(numbers)} was not to be made"
            reached = after
        # It may have died before it dropped what need not be retained any more.
        assert after.retained & numbers | before.retained & after.retained <= numbers
        assert numbers <= before.retained | after.retained, f"retained: {sorted(numbers)}"
        self.follow(State(reached.log, frozenset(numbers)))
        if ended.code != -9:
            return "it had ended"
        return "in time" if reached is before else "after it had published"

    def told(self, what: str, outcome: Outcome) -> str:
        """What an operation did, in words."""
        head = self.state.head
        ends = {model.DONE: "done", model.FAILED: "failed", model.REFUSED: "refused"}[outcome.code]
        return f"{what}: {ends}{f' ({outcome.says})' if outcome.says else ''}; readers see {head.number if head else 0}"

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
        said = play()
        self.checker.everything(self.state, self.files.world.settings, self.chance)
        self._readers_saw()
        line = f"{self.counts.steps}: {said} ({time.monotonic() - started:.1f} s)"
        self._history.append(line)
        self._say(line)

    def _draw(self) -> str:
        said = []
        for _ in range(self.chance.randint(0, MOST_EDITS)):
            edit = self._one_of(EDITS)
            done = edit(self.files, self.chance)
            if done is not None:
                said.append(done)
                self._history.append(f"   {done}")
        operation = self._one_of(OPERATIONS)
        self.counts.operations[operation.__name__] += 1
        self._history.append(f"   {operation.__name__}")
        return "; ".join([*said, operation(self, self.chance)])

    def _one_of(self, table: Any) -> Any:
        rows = [(weight, one) for weight, one in table if one.__name__ not in self._without]
        return self.chance.choices([one for _, one in rows], [weight for weight, _ in rows])[0]

    def _readers_saw(self) -> None:
        for reader in self._readers:
            seen, errors = reader.taken()
            assert not errors, f"a polling reader met an error: {errors[0]}"
            assert seen <= self._allowed, "a polling reader saw what was never published"
        self.counts.polled_reads = sum(reader.looks for reader in self._readers)
        self.counts.embedded_texts, self.counts.embedded_again = self.embedded.texts, self.embedded.repeated

    def _explained(self, error: Exception) -> str:
        return f"seed {self.seed}, step {self.counts.steps}: {error}\n\n" + "\n".join(self._history[-60:])
