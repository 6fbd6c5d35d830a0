"""The section `evolution`: how a search goes, what it may spend, and what it looks for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from esr_ray.config.section import Blocks, Count, Section


class PromotionConfig(Section):
    """Longer trainings for the better candidates: asynchronous successive halving."""

    lengths: tuple[Annotated[float, Field(ge=1)], ...] = Field(
        (1, 3), description="lengths of training in units of fast_training.steps, ascending from 1"
    )
    keep: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="part of those that have a length that is trained for the next one"
    )

    @model_validator(mode="after")
    def _something_to_promote_to(self) -> PromotionConfig:
        if list(self.lengths) != sorted(set(self.lengths)) or self.lengths[:1] != (1,):
            raise ValueError(f"lengths must begin with 1 and ascend, got {list(self.lengths)}")
        if len(self.lengths) < 2:
            raise ValueError("lengths has one length, there is nothing to promote to: give two, or promotion: null")
        return self


class RaceConfig(Section):
    """Further seeds for the best few, until the winner is sure."""

    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="part of the search's budget that is kept for it"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.9, description="probability with which nobody may be better than the winner by more than the tolerance"
    )
    tolerance: Annotated[float, Field(ge=0)] = Field(0.02, description="dB that are not worth telling apart")


ObjectiveName = Literal["psnr", "ssim", "params", "mult_adds", "latency", "memory"]


class EvolutionConfig(Section):
    """The search. Its budget is num_generation x num_individual short trainings, for longer ones and the race too."""

    num_generation: Count = Field(20, description="generations, the first (random) one included")
    num_individual: Count = Field(8, description="individuals of a generation")
    num_elitism: Count = Field(4, description="individuals that the elite keeps")
    mutation_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="chance that a flag, a block or the base channels change"
    )
    selection: Literal["tournament", "roulette"] = Field("tournament", description="how parents are chosen")
    tournament_size: Annotated[int, Field(ge=2)] = Field(2, description="individuals that a tournament compares")
    schedule: Literal["steady", "generational"] = Field(
        "steady",
        description="steady: a child is made as soon as a device is free; generational: all of a generation end before "
        "the next begins, so that results never depend on who was faster",
    )
    objectives: tuple[ObjectiveName, ...] = Field(
        ("psnr",), description="what is optimised: psnr alone, or a front of several"
    )
    latency_size: tuple[Annotated[int, Field(ge=8, multiple_of=2)], Annotated[int, Field(ge=8, multiple_of=2)]] = Field(
        (180, 320), description="height and width of the LR picture that latency and memory are measured with"
    )
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None, description="greatest latency of an enlargement on the device, in ms; those within it come first"
    )
    max_memory_mb: Annotated[float, Field(gt=0)] | None = Field(
        None, description="greatest memory of an enlargement on the device, in MB; those within it come first"
    )
    predictor: Literal["ridge"] | None = Field(
        "ridge", description="what chooses among many proposals the one to train, learnt from those that were trained"
    )
    proposals: Annotated[int, Field(ge=2)] = Field(
        400,
        description="networks among which a predictor chooses the one to train: the first 20 are children of the pool, "
        "all others of the best proposals before them",
    )
    promotion: PromotionConfig | None = Field(
        PromotionConfig(), description="longer trainings for the better ones; null: each candidate is trained once"
    )
    race: RaceConfig | None = Field(
        RaceConfig(), description="further seeds for the best few at the end; null: the best result wins"
    )
    founders: tuple[Blocks, ...] = Field(
        (),
        description="networks that the search begins with, each a list of blocks, its base channels first where there "
        "are several (--seed-from puts them here)",
    )

    @model_validator(mode="after")
    def _elite_fits(self) -> EvolutionConfig:
        if self.num_elitism > self.num_individual:
            raise ValueError(
                f"num_elitism ({self.num_elitism}) is greater than num_individual ({self.num_individual}): "
                "the first generation could not fill the elite"
            )
        return self

    @model_validator(mode="after")
    def _objectives_differ(self) -> EvolutionConfig:
        twice = [name for name in self.objectives if self.objectives.count(name) > 1]
        if twice:
            raise ValueError(f"objectives: {twice[0]} stands twice")
        if not {"psnr", "ssim"} & set(self.objectives):
            raise ValueError("objectives: give psnr or ssim among them, or the smallest network wins")
        return self

    def lengths(self, steps: int) -> tuple[int, ...]:
        """Of its trainings in steps, ascending, if that of a birth has so many."""
        return (steps,) if self.promotion is None else tuple(round(one * steps) for one in self.promotion.lengths)


def wants_device_cost(evolution: EvolutionConfig) -> bool:
    """Whether the search goes by latency or memory, so that they are measured."""
    wants_latency = "latency" in evolution.objectives or evolution.max_latency_ms is not None
    return wants_latency or wants_memory(evolution)


def wants_memory(evolution: EvolutionConfig) -> bool:
    """Whether the search goes by memory."""
    return "memory" in evolution.objectives or evolution.max_memory_mb is not None
