"""Look at processes of this machine: whether one still lives, and what one has started.

A process id alone does not say it: ids are used again, and every container counts its own. So an identity names the
boot of the kernel and the namespace in which the id counts, and the moment at which the process started. Where the
system does not tell them (anything but Linux), nothing can be told, and the caller needs another sign of life.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")
BOOT = PROC / "sys" / "kernel" / "random" / "boot_id"
GONE = "ZX"  # states of a process that has ended and waits to be collected by its parent


def identity_of(pid: int) -> str | None:
    """Boot, namespace, process id and start (in clock ticks since the boot) of a process of this machine.

    None where the system does not tell, or there is no such process.
    """
    here, found = _place(), _state_and_start(pid)
    return None if here is None or found is None else f"{here}/{pid}/{found[1]}"


def has_ended(identity: str) -> bool | None:
    """Whether the process of an identity has ended; None when that cannot be told from here.

    Args:
        identity: what ``identity_of`` gave, here or elsewhere.
    """
    if identity.rsplit("/", 2)[0] != _place():
        return None
    _, pid, start = identity.rsplit("/", 2)
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and belongs to another user
    found = _state_and_start(int(pid))
    if found is None:  # the process of another user, where the system hides those
        return None
    state, started = found
    return state in GONE or started != start


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, those that these have started, and so on.

    Empty where the system does not tell.
    """
    parents = {
        int(entry.name): int(fields[1]) for entry in PROC.glob("[0-9]*") if (fields := _fields(entry.name))
    }
    found: list[int] = []
    started = {pid}
    while started:
        started = {child for child, parent in parents.items() if parent in started}
        found += started
    return found


def _place() -> str | None:
    try:
        return f"{BOOT.read_text().strip()}/{(PROC / 'self' / 'ns' / 'pid').readlink()}"
    except OSError:
        return None


def _state_and_start(pid: int) -> tuple[str, str] | None:
    fields = _fields(str(pid))
    return None if fields is None else (fields[0], fields[19])


def _fields(pid: str) -> list[str] | None:
    """State, parent and so on, from the third field of proc(5) on; None when there is no such process."""
    try:
        stat = (PROC / pid / "stat").read_text()
    except OSError:
        return None
    # The name of the program is in parentheses, and may hold any character.
    return stat.rpartition(")")[2].split()
