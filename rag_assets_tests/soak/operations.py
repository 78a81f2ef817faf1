"""Operations: processes that run, and what must come of them.

Each is held against the model: how the process ended here, and what readers see then by the walk after every step.
To add one, write a function and give it a row in ``actions.OPERATIONS``.
"""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from rag_assets_tests.soak import model
from rag_assets_tests.soak.processes import Command, Ended
from rag_assets_tests.soak.world import CORPUS

if TYPE_CHECKING:
    from rag_assets_tests.soak.walk import Walk

CHANGES = 45
"""Changes of the store in a run that publishes, roughly."""
CHANGES_OF_A_ROLLBACK = 8
SECONDS_TO_OBEY = 60.0
"""A signal is obeyed within seconds; the machine may be busy."""


def run(walk: Walk, chance: Random) -> str:
    """Bring readers to the documents."""
    reason = walk.reason()
    state, outcome = model.run(walk.state, walk.files.world, reason)
    ended = walk.launcher.run(run_command(walk, chance, reason))
    walk.ended(ended, outcome)
    walk.follow(state)
    walk.took(ended)
    walk.judged(ended, state)
    return walk.told("ran", ended)


def run_again(walk: Walk, chance: Random) -> str:
    """Run twice: the second run finds its work done."""
    said = run(walk, chance)
    state, outcome = model.run(walk.state, walk.files.world, walk.reason())
    assert state == walk.state, "the model publishes once"
    walk.ended(walk.launcher.run(run_command(walk, chance, walk.reason())), outcome)
    return f"{said}, and again"


def evaluate(walk: Walk, chance: Random) -> str:
    """Measure what a run would publish."""
    ended = walk.launcher.run(walk.command("evaluate", CORPUS))
    walk.ended(ended, model.evaluate(walk.state, walk.files.world))
    walk.judged(ended, walk.state)
    return walk.told("evaluated", ended)


def rollback(walk: Walk, chance: Random) -> str:
    """Go back, or forth, to another publication."""
    to, command, reason = rollback_command(walk, chance)
    state, outcome = model.rollback(walk.state, to, reason)
    ended = walk.launcher.run(command)
    walk.ended(ended, outcome)
    if ended.code == model.DONE:
        walk.refused = False
    walk.follow(state)
    return walk.told(f"rolled back to {to or 'the one before'}", ended)


def look(walk: Walk, chance: Random) -> str:
    """``status``, ``history``, ``plan`` and ``query`` as processes: what people are told."""
    world, head = walk.files.world, walk.state.head
    assert head is not None
    status = _json(walk, "status", CORPUS)
    assert status["publication"] == head.number and status["chunks"] == len(head.spec.rows), status
    history = _json(walk, "history", CORPUS)
    numbers = [one["publication"] for one in history if one["kind"] != "refused"]
    assert numbers == [one.number for one in walk.state.on_record], history
    plan = _json(walk, "plan", CORPUS)
    stopped = model.stopped(world)
    assert (plan["problem"] is None) == (stopped is None), plan
    if stopped is None:
        spec = world.spec
        least = len(walk.embedded.missing(spec.embedder, spec.texts))
        most = least + walk.embedded.at_risk(spec.embedder, spec.texts)
        assert least <= plan["embed"] <= most, f"plan: {plan['embed']} texts, expected {least} to {most}"
        held = spec != head.spec and spec in head.held
        assert (plan["publish"], plan["held"]) == (spec != head.spec and not held, held), plan
    hits = _json(walk, "query", CORPUS, chance.choice(head.spec.rows).text.split("\n\n")[-1])
    assert hits, "a passage's own words find nothing"
    return "looked at status, history, plan and query"


def killed_run(walk: Walk, chance: Random) -> str:
    """``kill -9`` at any moment; often the next thing is the run that ends like a clean one."""
    reason = walk.reason()
    state, _ = model.run(walk.state, walk.files.world, reason)
    ended = walk.launcher.run(dying(walk, chance, run_command(walk, chance, reason)))
    said = walk.killed(ended, state)
    if chance.random() < 0.6:
        said += f"; {run(walk, chance)}"
    return f"killed a run: {said}"


def killed_rollback(walk: Walk, chance: Random) -> str:
    """``kill -9`` while a rollback is at it."""
    to, command, reason = rollback_command(walk, chance)
    state, _ = model.rollback(walk.state, to, reason)
    kill: dict[str, Any] = {"at_change": chance.randint(1, CHANGES_OF_A_ROLLBACK)}
    if chance.random() < 0.3:
        kill = {"after": chance.uniform(0.0, 0.5)}
    ended = walk.launcher.run(replace(command, **kill))
    return f"killed a rollback to {to or 'the one before'}: {walk.killed(ended, state)}"


def interrupted_run(walk: Walk, chance: Random) -> str:
    """Ctrl-C, or a supervisor's SIGTERM: it ends soon, and with the exit code of that signal."""
    reason = walk.reason()
    state, _ = model.run(walk.state, walk.files.world, reason)
    number = chance.choice([signal.SIGINT, signal.SIGTERM])
    after = chance.uniform(0.2, 1.2 * walk.seconds_of_a_run)
    ended = walk.launcher.run(
        replace(walk.command("run", CORPUS, "--reason", reason), after=after, signal=number)
    )
    assert ended.seconds < after + SECONDS_TO_OBEY, (
        f"{number.name} was obeyed after {ended.seconds - after:.0f} s"
    )
    assert ended.code in (model.DONE, model.FAILED, model.REFUSED, 128 + number), ended.message
    return f"sent {number.name}: {walk.killed(ended, state)}; {run(walk, chance)}"


# -- commands ---------------------------------------------------------------------------------


def run_command(walk: Walk, chance: Random, reason: str) -> Command:
    """A run: the command line with Dagster, that in a process of its own from the start, or the stages alone."""
    command = walk.command("run", CORPUS, "--reason", reason)
    how = chance.choices(["dagster", "fresh", "stages"], [40, 5, 55])[0]
    return replace(command, dagster=how != "stages", fresh=how == "fresh")


def rollback_command(walk: Walk, chance: Random) -> tuple[int | None, Command, str]:
    """A rollback with its target and its reason; mostly to a publication that is there."""
    reason = walk.reason()
    command = walk.command("rollback", CORPUS, "--reason", reason)
    if chance.random() < 0.3:
        return None, command, reason
    kept = sorted(walk.state.retained)
    to = chance.choice(kept) if chance.random() < 0.9 else chance.randint(1, len(walk.state.log) + 1)
    return to, replace(command, arguments=(*command.arguments, "--to", str(to))), reason


def dying(walk: Walk, chance: Random, command: Command) -> Command:
    """A run that is killed: at some change of the store, or after some time."""
    if chance.random() < 0.5:
        return replace(command, at_change=chance.randint(1, CHANGES))
    return replace(command, after=chance.uniform(0.0, 1.2 * walk.seconds_of_a_run))


def _json(walk: Walk, *arguments: str) -> Any:
    ended: Ended = walk.launcher.run(walk.command(*arguments, "--json"))
    assert ended.code == 0, f"{' '.join(arguments)} ended with {ended.code}:\n{ended.message}"
    return json.loads(ended.out)
