"""Two processes at once: one wins or both do, and the log is that of a serial order of those who won.

Who loses says "run again", and has changed nothing. One of the two may be killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product
from random import Random
from typing import TYPE_CHECKING

from rag_assets_tests.soak import model
from rag_assets_tests.soak.model import Outcome, State
from rag_assets_tests.soak.operations import dying, rollback_command, run_command
from rag_assets_tests.soak.processes import Command, Ended
from rag_assets_tests.soak.world import CORPUS

if TYPE_CHECKING:
    from rag_assets_tests.soak.walk import Walk


@dataclass(frozen=True)
class Contender:
    """One of the two: what it runs, and what that does to the log when it has it to itself."""

    name: str
    command: Command
    play: Callable[[State], tuple[State, Outcome]]

    @property
    def dies(self) -> bool:
        """Whether it may be killed."""
        return self.command.at_change is not None or self.command.after is not None


def duel(walk: Walk, chance: Random) -> str:
    """Two runs, or a run and a rollback, a rollback and another, or a run and an evaluation."""
    first = _run(walk, chance, "a")
    second = chance.choice([_run, _run, _rollback, _evaluate])(walk, chance, "b")
    if chance.random() < 0.15:
        first = _rollback(walk, chance, "a")
    if chance.random() < 0.2 and first.name == "run":
        first = replace(first, command=dying(walk, chance, first.command))
    if chance.random() < 0.5:  # on one home, commands take turns
        environ = {**second.command.environ, "DAGSTER_HOME": str(walk.homes[1])}
        second = replace(second, command=replace(second.command, environ=environ))
    two = [first, second]
    chance.shuffle(two)
    started = []
    for contender in two:
        started.append(walk.launcher.start(contender.command))
        time.sleep(chance.choice([0.0, chance.uniform(0, walk.seconds_of_a_run)]))
    ended = [walk.launcher.wait(one, contender.command) for one, contender in zip(started, two, strict=True)]
    for one in ended:
        assert "Traceback" not in one.err, f"a trace instead of a message:\n{one.err}"
    killed = sum(one.code == -9 for one in ended)
    walk.counts.kills += killed
    walk.refused = None
    walk.checker.may_lag = bool(killed)
    walk.embedded.take(killed=bool(killed), together=2)
    duelists = list(zip(two, ended, strict=True))
    walk.follow(walk.matching(possible(walk.state, duelists), partial=bool(killed), shown=_shown(duelists)))
    return f"{_shown(duelists)} at once; readers see {len(walk.state.log)}"


def possible(state: State, duelists: Sequence[tuple[Contender, Ended]]) -> Iterator[State]:
    """The states that the two may leave behind: those of each serial order in which each ended as it did."""
    for order in permutations(duelists):
        for won in product([True, False], repeat=2):
            if not any(won) and not any(ended.code == -9 for _, ended in order):
                continue
            found = state
            for (contender, ended), wins in zip(order, won, strict=True):
                after, outcome = contender.play(found)
                if ended.code == -9:
                    agrees = True
                elif wins:
                    agrees = outcome.agrees(ended.code, ended.message)
                else:
                    agrees = ended.code == model.FAILED and "run again" in ended.message
                if not agrees:
                    break
                found = after if wins else found
            else:
                yield found


def _run(walk: Walk, chance: Random, letter: str) -> Contender:
    reason = walk.reason() + letter
    return Contender(
        "run",
        run_command(walk, chance, reason),
        lambda state: model.run(state, walk.files.world, reason),
    )


def _rollback(walk: Walk, chance: Random, letter: str) -> Contender:
    to, command, _ = rollback_command(walk, chance)
    reason = walk.reason() + letter
    command = replace(command, arguments=(*command.arguments, "--reason", reason))
    return Contender(
        f"rollback to {to or 'the one before'}", command, lambda state: model.rollback(state, to, reason)
    )


def _evaluate(walk: Walk, chance: Random, letter: str) -> Contender:
    return Contender(
        "evaluate",
        walk.command("evaluate", CORPUS),
        lambda state: (state, model.evaluate(state, walk.files.world)),
    )


def _shown(duelists: Sequence[tuple[Contender, Ended]]) -> str:
    return " and ".join(f"{contender.name} ({ended.code})" for contender, ended in duelists)
