"""The seam to Ray: connect, run actors over blocks of rows, let go. No foreign exception leaves it.

blocks → Ray Data → Prepare actors → Embed actors → reports, as they get ready. Or blocks → actors of
another kind → their results. Ray Data holds back what would flood the actors that follow, grows and
shrinks the pools, and repeats a batch whose actor or machine was lost on another one.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from rag_assets import corpus as models
from rag_assets.errors import ClusterUnavailable, ConfigurationError, RagAssetsError, install, redacted
from rag_assets.escapes import logger
from rag_assets.ingest.streaming.actors import Embed, Prepare
from rag_assets.ingest.streaming.flow import Begin, Report, from_arrow, reports_in, to_arrow
from rag_assets.ingest.streaming.job import Job

if TYPE_CHECKING:
    from ray.data import Dataset

CONNECT_SECONDS = 10.0
LOSSES = 8  # actors that one batch may cost: Ray's default, any number, never ends over a batch that kills them all

_log = logger(__name__)


def work(job: Job, settings: models.Ray, begin: Begin, blocks: Sequence[pl.DataFrame]) -> Iterator[Report]:
    """Have actors do the work of these blocks; reports come as batches are done, in no order.

    Args:
        job: what to work on.
        settings: which cluster, and how much of it.
        begin: what the blocks hold.
        blocks: each is dealt with by one actor at a time.

    Raises:
        ConfigurationError: Ray is not installed, or a cluster of our own is too small.
        ClusterUnavailable: the cluster did not answer, or broke down.
        RagAssetsError: what the stage's code raised on an actor.
    """
    with _connected(settings), _translated():
        for rows in _results(lambda: _chain(job, settings, begin, blocks)):
            yield from reports_in(rows)


def spread(
    settings: models.Ray, actor: type, arguments: tuple[object, ...], blocks: Sequence[pl.DataFrame]
) -> Iterator[pl.DataFrame]:
    """Have actors of a class called with blocks, a block at a time; results come as they are done, in no order.

    Args:
        settings: which cluster; actors are its ``cpu_workers``.
        actor: takes and gives Arrow tables.
        arguments: that it is made with.
        blocks: each is dealt with by one actor.

    Raises:
        As ``work``.
    """
    with _connected(settings), _translated():
        yield from _results(
            lambda: _blocks(blocks).map_batches(actor, fn_constructor_args=arguments, **_on_cpus(settings))
        )


def _results(make: Callable[[], Dataset]) -> Iterator[pl.DataFrame]:
    with warnings.catch_warnings():
        # Ray 2.60 means to drop this way to say max_task_retries, and has no other one yet.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        chain = make()
    for table in chain.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from_arrow(table)


def _chain(job: Job, settings: models.Ray, begin: Begin, blocks: Sequence[pl.DataFrame]) -> Dataset:
    from ray.data import ActorPoolStrategy

    cpus = settings.cpus_per_worker
    parsers = max(1, math.floor(cpus))
    return (
        _blocks(blocks)
        .map_batches(Prepare, fn_constructor_args=(job, begin, parsers), **_on_cpus(settings))
        .map_batches(
            Embed,
            fn_constructor_args=(job,),
            batch_size=job.corpus.embedder.shard_chunks,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ActorPoolStrategy(min_size=settings.gpu_workers.min, max_size=settings.gpu_workers.max),
            # Not both, of which Ray Data warns. Zero must be said, or it asks for one, which a machine that
            # keeps its CPUs to itself never has.
            num_cpus=0 if settings.gpus_per_worker else cpus,
            num_gpus=settings.gpus_per_worker or None,
            max_task_retries=LOSSES,
        )
    )


def _blocks(blocks: Sequence[pl.DataFrame]) -> Dataset:
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # the run shows its own
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # else the way to our own errors is lost
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It says that there are no bars.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    return ray.data.from_arrow([to_arrow(block) for block in blocks])


def _on_cpus(settings: models.Ray) -> dict[str, Any]:
    """How actors are called that take a block at a time and need no GPU."""
    from ray.data import ActorPoolStrategy

    workers = settings.cpu_workers
    return {
        "batch_size": None,  # a block is a batch
        "batch_format": "pyarrow",
        "zero_copy_batch": True,
        "compute": ActorPoolStrategy(min_size=workers.min, max_size=workers.max),
        "num_cpus": settings.cpus_per_worker,
        "max_task_retries": LOSSES,
    }


@contextmanager
def _connected(settings: models.Ray) -> Iterator[None]:
    """A connection to the cluster: the caller's own where there is one, else ours, which ends with the work."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigurationError(f"engine: ray needs the extra ray: {install('ray')}") from error
    if ray.is_initialized():
        _check_room(settings, ours=False)
        yield
        return
    ours = _connect(settings.address)
    try:
        _check_room(settings, ours=ours)
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> bool:
    """Connect; True when the cluster was started for it."""
    if address == "auto" and "RAY_ADDRESS" not in os.environ:
        try:
            _init("auto")
            return False
        except ConnectionError:
            address = "local"  # none runs on this machine
    # What remains of "auto" is what RAY_ADDRESS says.
    at = os.environ["RAY_ADDRESS"] if address == "auto" else address
    try:
        if ":" in at:
            # Ray itself would go on trying for many minutes.
            host, _, port = at.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        _init(at)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        reason = redacted(str(error).strip().partition("\n")[0])
        raise ClusterUnavailable(
            f"could not reach the Ray cluster {redacted(at)!r}: {reason}; a driver runs on a machine of the cluster: "
            "its head, or one that has joined with ray start"
        ) from error
    return at == "local"


def _init(address: str) -> None:
    import ray

    with warnings.catch_warnings():
        # LanceDB warns of every fork; the processes that Ray forks become other programs at once.
        warnings.filterwarnings("ignore", "lance")
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )


def _check_room(settings: models.Ray, *, ours: bool) -> None:
    """Refuse a cluster that can never hold the first actors; one that may still grow is only told about."""
    import ray

    found = ray.cluster_resources()
    gpus = settings.gpu_workers.min * settings.gpus_per_worker
    on_cpus = settings.cpu_workers.min + (0 if gpus else settings.gpu_workers.min)
    needed = {"CPU": on_cpus * settings.cpus_per_worker, "GPU": gpus}
    lacking = [
        f"{amount:g} {kind}s (there are {found.get(kind, 0.0):g})"
        for kind, amount in needed.items()
        if found.get(kind, 0.0) < amount
    ]
    if not lacking:
        return
    asked = f"the first actors need {' and '.join(lacking)}"
    if ours:
        raise ConfigurationError(
            f"this machine is too small as a Ray cluster: {asked}; lower ray.cpus_per_worker or ray.gpus_per_worker, or "
            "name a cluster in ray.address"
        )
    _log.warning("The Ray cluster has no room yet: %s. The run waits until it has grown.", asked)


@contextmanager
def _translated() -> Iterator[None]:
    """Our own errors as they were raised on an actor; all else that Ray raises says that the cluster failed."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        ours = _own(error)
        if ours is not None:
            raise ours from error
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ClusterUnavailable(f"the Ray cluster failed: {redacted(lines[-1].strip())}") from error


def _own(error: BaseException) -> RagAssetsError | None:
    """The error of this package that an error of Ray stands for."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, RagAssetsError):
            # Ray raises a class of its own that is both; who catches ours must not get Ray's as well.
            cause = getattr(found, "cause", found)
            return cause if isinstance(cause, RagAssetsError) else found
        todo += [getattr(found, "cause", None), found.__cause__, found.__context__]
    return None
