"""vLLM engines of this process: each is loaded once, and closed when its memory is wanted or the process ends.

An engine computes in processes of its own; here a thread with an event loop feeds it, so that every
prompt joins the running batch as soon as it is there. The seam to vllm.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rag_assets import corpus
from rag_assets.corpus.vllm import NGRAM_MAX, NGRAM_MIN
from rag_assets.errors import ConfigurationError, EmbeddingFailed, ModelError, ModelUnavailable, install

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from vllm.v1.engine.async_llm import AsyncLLM

T = TypeVar("T")
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # A fork would inherit the threads and locks of LanceDB and Polars.
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",
}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which model an engine runs, and how.

    Attributes:
        name: for people.
        folder: the model's files.
        runner: pooling gives vectors, generate gives text.
        dtype: as vLLM names it.
        window: tokens of a request; None is the model's own.
        vllm: of the corpus file.
    """

    name: str
    folder: Path
    runner: Literal["pooling", "generate"]
    dtype: str
    window: int | None
    vllm: corpus.Vllm

    def arguments(self) -> dict[str, Any]:
        """vLLM's engine arguments."""
        settings = self.vllm
        found: dict[str, Any] = {
            "model": str(self.folder),
            "runner": self.runner,
            "dtype": self.dtype,
            "max_model_len": self.window,
            "disable_log_stats": True,
            **settings.model_dump(exclude={"ngram_tokens", "max_model_len"}),
        }
        if settings.ngram_tokens:
            found["speculative_config"] = {
                "method": "ngram",
                "num_speculative_tokens": settings.ngram_tokens,
                "prompt_lookup_min": NGRAM_MIN,
                "prompt_lookup_max": NGRAM_MAX,
            }
        return found


@dataclass(frozen=True, slots=True)
class Generated:
    """What a model said. ``finished`` is false where max_tokens cut it off."""

    text: str
    finished: bool
    prompt_tokens: int
    completion_tokens: int


class Engine:
    """A running engine. May be used from many threads and event loops.

    Raises:
        ConfigurationError: vllm is not installed.
        ModelError: it cannot run the model under these settings.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._name = settings.name
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        try:
            self._llm = self._submit(_start(settings)).result()
        except BaseException:
            self._stop_loop()
            raise

    def embed(self, batches: Iterable[Sequence[Sequence[int]]]) -> NDArray[np.float32]:
        """Vectors of tokenized texts: float32, shape (number of texts, dimension).

        Each batch is computed from when it is there on, while the next one is still being made.

        Raises:
            EmbeddingFailed: the engine refused a text; what else it was given is given up.
            ModelUnavailable: the engine died.
        """
        import numpy as np

        given: list[Future[list[NDArray[np.float32]]]] = []
        try:
            given.extend(self._submit(self._embed_all(batch)) for batch in batches)
            return np.stack([vector for batch in given for vector in batch.result()])
        finally:
            for batch in given:
                batch.cancel()

    async def reply(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        *,
        temperature: float,
        max_tokens: int,
    ) -> Generated:
        """What the model says to some messages, as JSON of a schema. Cancelling it ends the generation.

        Raises:
            ValueError: the engine refused the messages.
            ModelUnavailable: the engine died.
        """
        work = self._reply(messages, schema, temperature, max_tokens)
        return await asyncio.wrap_future(self._submit(work))

    @property
    def dead(self) -> bool:
        """Whether its processes have ended by themselves."""
        return bool(self._llm.errored)

    def close(self) -> None:
        """End the engine's processes and give its memory back."""
        handler = self._llm.output_handler
        if handler is not None:  # else it reports the end of the processes as their death
            self._loop.call_soon_threadsafe(handler.cancel)
        self._llm.shutdown()
        self._stop_loop()

    async def _embed_all(self, prompts: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        try:
            async with asyncio.TaskGroup() as group:  # the first failure ends the others
                asked = [group.create_task(self._embed(prompt)) for prompt in prompts]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in asked]

    async def _embed(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        import numpy as np
        from vllm import PoolingParams, TokensPrompt
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError

        request = TokensPrompt(prompt_token_ids=list(prompt))
        try:
            async for found in self._llm.encode(request, PoolingParams(task="embed"), self._next_id()):
                vector = found.outputs.data
        except (VLLMClientError, ValueError) as error:
            raise EmbeddingFailed(f"{self._name}: {str(error).partition(chr(10))[0]}") from error
        except EngineDeadError as error:
            raise ModelUnavailable(_dead(self._name)) from error
        return np.asarray(vector.float(), dtype=np.float32)

    async def _reply(
        self,
        messages: Sequence[Mapping[str, str]],
        schema: Mapping[str, Any],
        temperature: float,
        max_tokens: int,
    ) -> Generated:
        from vllm import SamplingParams, TokensPrompt
        from vllm.exceptions import VLLMClientError
        from vllm.sampling_params import StructuredOutputsParams
        from vllm.v1.engine.exceptions import EngineDeadError

        tokens: Any = self._llm.get_tokenizer()
        prompt = tokens.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=True, return_dict=False
        )
        sampling = SamplingParams(
            temperature=temperature,
            max_tokens=max_tokens,
            seed=0,
            structured_outputs=StructuredOutputsParams(json=dict(schema)),
        )
        request = TokensPrompt(prompt_token_ids=prompt)
        try:
            async for found in self._llm.generate(request, sampling, self._next_id()):
                last = found
        except VLLMClientError as error:
            raise ValueError(str(error)) from error
        except EngineDeadError as error:
            raise ModelUnavailable(_dead(self._name)) from error
        (output,) = last.outputs
        return Generated(output.text, output.finish_reason != "length", len(prompt), len(output.token_ids))

    def _next_id(self) -> str:
        return str(next(self._numbers))

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _stop_loop(self) -> None:
        self._submit(_cancel_others()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_OPEN: OrderedDict[EngineSettings, Engine] = OrderedDict()
_LOCK = threading.Lock()


def open_engine(settings: EngineSettings) -> Engine:
    """The process's engine of these settings, started at its first use.

    Engines that have not been used for longest are closed when the shares of memory add up to more than 1.

    Raises:
        ConfigurationError, ModelError: as ``Engine``.
    """
    with _LOCK:
        if settings in _OPEN and _OPEN[settings].dead:
            _OPEN.pop(settings).close()
        if settings not in _OPEN:
            while _OPEN and _share(settings) + sum(map(_share, _OPEN)) > 1:
                _OPEN.popitem(last=False)[1].close()
            _OPEN[settings] = Engine(settings)
            # Registered last it runs first, while the engine's processes are still there to be told.
            atexit.unregister(close_engines)
            atexit.register(close_engines)
        _OPEN.move_to_end(settings)
        return _OPEN[settings]


def close_engines() -> None:
    """Close all engines of this process."""
    with _LOCK:
        while _OPEN:
            _OPEN.popitem()[1].close()


def _share(settings: EngineSettings) -> float:
    return settings.vllm.gpu_memory_utilization


async def _start(settings: EngineSettings) -> AsyncLLM:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise ConfigurationError(f"type vllm needs the extra 'vllm': {install('vllm')}") from error
    try:
        return AsyncLLM.from_engine_args(AsyncEngineArgs(**settings.arguments()))
    except Exception as error:  # the seam: its own processes, drivers and models raise what they like
        raise ModelError(
            f"vLLM cannot run {settings.name}: {str(error).partition(chr(10))[0]}. What its processes wrote to the log "
            "says why; often the memory is taken: lower vllm.gpu_memory_utilization"
        ) from error


async def _cancel_others() -> None:
    """End what is left on this loop, such as an engine's own listeners."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def _dead(name: str) -> str:
    return f"the vLLM engine of {name} died, perhaps for lack of memory; its own messages stand in the log"
