"""Include and exclude globs with gitignore syntax, matched on relative paths."""

from __future__ import annotations

from collections.abc import Sequence

import pathspec

VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".jj"})
"""Never documents, whatever the globs say: their files change with every commit."""


class Globs:
    """Which paths are taken: those that ``include`` matches and ``exclude`` does not.

    As in a .gitignore file, the last matching pattern decides, ``!`` negates, a pattern without
    a slash matches at any depth, and nothing below an excluded folder can be taken back.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = pathspec.GitIgnoreSpec.from_lines(include)
        self._exclude = pathspec.GitIgnoreSpec.from_lines(exclude) if exclude else None

    def takes(self, path: str) -> bool:
        """True if the file at ``path`` (relative, with slashes) is a document."""
        if _name(path) in VERSION_CONTROL or (self._exclude is not None and self._exclude.match_file(path)):
            return False
        return self._include.match_file(path)

    def enters(self, folder: str) -> bool:
        """False if nothing below ``folder`` (relative, without trailing slash) can be taken."""
        if _name(folder) in VERSION_CONTROL:
            return False
        return self._exclude is None or not self._exclude.match_file(f"{folder}/")


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
