"""Target: a class of someone else's package. The seam to foreign code: nothing it raises escapes.

The entry point, in the group ``rag_assets.invalidation_targets``, is called with the options of the
corpus file and returns an object with ``send``, see ``target.Target``.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from rag_assets.corpus import invalidation as config
from rag_assets.errors import ConfigurationError, RagAssetsError, TargetUnavailable
from rag_assets.invalidation.notice import Notice
from rag_assets.invalidation.target import Remembering

GROUP = "rag_assets.invalidation_targets"


class PluginTarget:
    """Hands notices on.

    Raises:
        ConfigurationError: there is no such entry point, or it cannot be loaded with these options.
    """

    def __init__(self, target: config.Plugin) -> None:
        self._name = f"target {target.name}, entry point {target.entry_point!r}"
        found = {point.name: point for point in entry_points(group=GROUP)}
        if target.entry_point not in found:
            names = ", ".join(sorted(found)) or "none"
            raise ConfigurationError(
                f"{self._name}: not installed; entry points of the group {GROUP}: {names}"
            )
        try:
            self._inner: Any = found[target.entry_point].load()(dict(target.options))
        except RagAssetsError:
            raise
        except Exception as error:
            raise ConfigurationError(f"{self._name}: cannot be made: {_described(error)}") from error
        if not callable(getattr(self._inner, "send", None)):
            raise ConfigurationError(f"{self._name}: what it returns has no method 'send'")

    def send(self, notice: Notice) -> None:
        """See ``Target``. An exception of a foreign family counts as one that may pass."""
        try:
            self._inner.send(notice)
        except RagAssetsError:
            raise
        except Exception as error:
            raise TargetUnavailable(_described(error)) from error

    def remembers(self, publication: int, epoch: str) -> bool:
        """See ``Remembering``; a target without this method forgets nothing by itself."""
        if not isinstance(self._inner, Remembering):
            return True
        try:
            return bool(self._inner.remembers(publication, epoch))
        except RagAssetsError:
            raise
        except Exception as error:
            raise TargetUnavailable(_described(error)) from error


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
