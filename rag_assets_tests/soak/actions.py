"""What may happen: the weighted tables from which a step's edits and its operation are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from rag_assets_tests.soak import damage, duels, edits, operations
from rag_assets_tests.soak.world import Files

if TYPE_CHECKING:
    from rag_assets_tests.soak.walk import Walk

Edit = Callable[[Files, Random], str | None]
Operation = Callable[["Walk", Random], str]

EDITS: Sequence[tuple[int, Edit]] = (
    (10, edits.edit_paragraph),
    (4, edits.add_section),
    (4, edits.remove_section),
    (2, edits.repeat_section),
    (4, edits.edit_front_matter),
    (2, edits.rewrite),
    (6, edits.add_document),
    (3, edits.copy_document),
    (5, edits.rename_document),
    (6, edits.delete_document),
    (2, edits.break_document),
    (6, edits.revert_document),
    (4, edits.revert_wanted),
    (7, edits.mend_refusal),
    (3, edits.mend_broken),
    (2, edits.touch_document),
    (4, edits.change_setting),
    (1, edits.retire_questions),
)

OPERATIONS: Sequence[tuple[int, Operation]] = (
    (36, operations.run),
    (5, operations.run_again),
    (5, operations.evaluate),
    (11, operations.rollback),
    (4, operations.look),
    (16, operations.killed_run),
    (4, operations.killed_rollback),
    (4, operations.interrupted_run),
    (9, duels.duel),
    (8, damage.damage),
)
