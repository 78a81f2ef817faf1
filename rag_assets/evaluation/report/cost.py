"""What embedding, answering and judging took: tokens, model seconds, money by the price table."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from rag_assets.corpus import Prices


class Cost(BaseModel):
    """One step's work with one model.

    Attributes:
        units: documents or questions that the work was for.
        money: None where the price table does not name the model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: str
    model: str
    units: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    money: float | None

    @property
    def per_thousand(self) -> float | None:
        """Money per thousand documents or questions."""
        return None if self.money is None or self.units == 0 else 1000 * self.money / self.units


def cost_of(
    prices: Prices,
    step: str,
    model: str,
    units: int,
    *,
    prompt_tokens: int = 0,
    completion_tokens: int = 0,
    seconds: float = 0.0,
) -> Cost:
    """Price a step. ``model``: the name by which the price table knows it."""
    price = prices.models.get(model)
    money = None
    if price is not None:
        money = (
            prompt_tokens / 1e6 * price.input_per_million
            + completion_tokens / 1e6 * price.output_per_million
            + seconds / 3600 * price.per_hour
        )
    return Cost(
        step=step,
        model=model,
        units=units,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        seconds=seconds,
        money=money,
    )


def total_money(costs: Sequence[Cost]) -> float | None:
    """The sum of what is priced; None when nothing is."""
    priced = [cost.money for cost in costs if cost.money is not None]
    return sum(priced) if priced else None
