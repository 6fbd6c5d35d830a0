"""Every key of a configuration, with its type, range and default: one experiment is one `Config`.

Only what can be said of a key (or of keys beside each other) without looking at files or at the search space is
checked here; `esr_ray.config.load` does the rest.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from esr_ray.config.evolution import EvolutionConfig, wants_device_cost
from esr_ray.config.section import Blocks, Count, Section
from esr_ray.config.space import SpaceConfig
from esr_ray.config.task import TaskConfig


class FolderConfig(Section):
    """A folder of HR pictures, and its LR pictures where they are given."""

    hr: str = Field(description="folder of HR pictures, or one with HR and LR in a known layout (README)")
    lr: str | None = Field(
        None, description="folder of LR pictures; without it, and where hr has none, LR is made by antialiased bicubic"
    )


class SplitConfig(Section):
    """How one folder is divided into the three sets."""

    validation: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="part of the pictures that fitness uses")
    test: Annotated[float, Field(gt=0, lt=1)] = Field(0.1, description="part that is only ever reported on")

    @model_validator(mode="after")
    def _leaves_training(self) -> SplitConfig:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must stay below 1: nothing would be left to train on")
        return self


class DataConfig(Section):
    """Pictures: one folder that is split (`hr`, `lr`), or three folders (`train`, `validation`, `test`)."""

    hr: str | None = Field(None, description="one folder for all sets (as train.hr), or sample:scikit-image")
    lr: str | None = Field(None, description="LR pictures of `hr` (as train.lr)")
    split: SplitConfig = Field(SplitConfig(), description="how `hr` is divided")
    train: FolderConfig | None = Field(None, description="pictures to train on")
    validation: FolderConfig | None = Field(None, description="pictures that fitness is measured on")
    test: FolderConfig | None = Field(None, description="pictures that are only reported on")
    training_sizes: tuple[Annotated[float, Field(ge=0.1, le=1)], ...] = Field(
        (1.0,),
        min_length=1,
        description="sizes at which each training picture is used, 1 is its own: reduced (antialiased bicubic) it is "
        "sharper and freer of the marks of compression; only where LR is made",
    )
    validation_size: Annotated[int, Field(ge=16)] | None = Field(
        None, description="LR side of the square parts of validation pictures that are used; without it whole pictures"
    )
    validation_crops: Count = Field(1, description="parts of each validation picture, where validation_size is set")

    @model_validator(mode="after")
    def _one_way(self) -> DataConfig:
        sets = [name for name in ("train", "validation", "test") if getattr(self, name) is not None]
        if self.hr is None and len(sets) < 3:
            missing = [name for name in ("train", "validation", "test") if name not in sets]
            raise ValueError(
                "give hr (one folder, split into three sets), or all of train, validation and test "
                f"(missing: {', '.join(missing)})"
            )
        if self.hr is not None and sets:
            raise ValueError(f"give either hr or {', '.join(sets)}, not both")
        if self.hr is None and self.lr is not None:
            raise ValueError("lr goes with hr; for separate sets give train.lr, validation.lr and test.lr")
        return self

    @model_validator(mode="after")
    def _sizes_of_made_lr(self) -> DataConfig:
        sizes = self.training_sizes
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"training_sizes: one stands twice in {list(sizes)}")
        if sizes != (1.0,) and (self.lr is not None or (self.train is not None and self.train.lr is not None)):
            raise ValueError("training_sizes goes with LR pictures that are made; remove it, or lr")
        return self


class CosineSchedule(Section):
    """Linear warm-up, then half a cosine to zero."""

    type: Literal["cosine"]
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps of linear warm-up")


class MultiStepSchedule(Section):
    """The rate is multiplied by gamma at each milestone."""

    type: Literal["multistep"]
    milestones: tuple[Count, ...] = Field(description="steps, or epochs where epochs are given; ascending")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.5, description="factor at each milestone")

    @model_validator(mode="after")
    def _ascending(self) -> MultiStepSchedule:
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, got {list(self.milestones)}")
        return self


class TrainingConfig(Section):
    """One training: Adam on an L1 loss, at the end on an L2 one if that is wanted."""

    steps: Count = Field(400, description="optimizer steps")
    epochs: Count | None = Field(
        None,
        description="in the place of steps: passes over the training pictures, one crop of each in a pass; the steps "
        "that this means are said in the log",
    )
    batch_size: Count = Field(16, description="crops in a batch")
    crop_size: Annotated[int, Field(ge=8, multiple_of=2)] = Field(64, description="side of a crop in LR pixels, even")
    learning_rate: Annotated[float, Field(gt=0)] = Field(1e-4, description="initial (cosine: highest) rate of Adam")
    schedule: Annotated[CosineSchedule | MultiStepSchedule, Field(discriminator="type")] = Field(
        CosineSchedule(type="cosine"), description="how the rate changes"
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="greatest norm of the gradient")
    average_weights: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="decay of the exponential average of the weights that is evaluated instead of the last ones"
    )
    l2_from: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="part of the steps after which the loss is the mean squared difference, which PSNR is of, in the "
        "place of the mean absolute one",
    )
    initial_variance: Annotated[float, Field(gt=0, le=2)] = Field(
        1.0,
        description="of a convolution's initial weights, in units of 1/fan in: with more a network learns sooner, with "
        "less it gets further in the end",
    )

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.epochs is not None and "steps" in self.model_fields_set:
            raise ValueError("give steps or epochs, not both (epochs: null takes epochs back)")
        return self

    @model_serializer(mode="wrap")
    def _length_that_counts(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What is written must be what can be read: see above.
        content: dict[str, Any] = serialize(self)
        if self.epochs is not None:
            content.pop("steps", None)
        return content


class FullTrainingConfig(TrainingConfig):
    """The training of what is kept: on all devices together, each on its share of every batch."""

    initial_variance: Annotated[float, Field(gt=0, le=2)] = Field(
        0.33,
        description="of a convolution's initial weights, in units of 1/fan in: less than in fast training, because "
        "there is time",
    )
    networks: Annotated[str, Field(pattern=r"^(best|knee|front:[1-9]\d*)$")] = Field(
        "best",
        description="which networks of the search: best, the winner; knee, the one after which more cost brings least; "
        "front:N, N spread over the front",
    )
    checkpoint_steps: Count = Field(1000, description="steps after which the state is kept, to go on from")
    validation_steps: Count = Field(1000, description="steps after which the validation pictures are measured")


class BenchmarkConfig(FolderConfig):
    """A set of pictures that the trained network is reported on."""

    name: str = Field(description="name in the report, such as Set5")


class RuntimeConfig(Section):
    """Devices and processes."""

    resource: Literal["auto", "CPU", "NPU"] = Field("auto", description="what Ray counts as a device")
    target: Literal["auto", "cpu", "ascend"] = Field("auto", description="what MindSpore computes on")
    mode: Literal["graph", "pynative"] = Field("graph", description="how MindSpore runs a network")
    kernels: Literal["auto", "native", "plain"] = Field(
        "auto",
        description="what computes networks on a CPU: native, the package's own library, several times faster; plain, "
        "MindSpore's operators; auto: native where it was built and knows the blocks",
    )
    evaluators: Literal["auto"] | Count = Field("auto", description="evaluators, one device each; auto: all devices")
    trainers: Literal["auto"] | Count = Field(
        "auto",
        description="devices that the full training uses together; auto: all that Ray has; a number is waited for. "
        "The batch is divided among them: where it cannot be, fewer are used",
    )
    rank_table: str | None = Field(
        None, description="HCCL's rank table (RANK_TABLE_FILE), Ascend only; without it devices find each other"
    )
    max_attempts: Count = Field(
        3,
        description="how often a candidate is tried whose process or node dies, before a small known network shows "
        "whether its device is to blame; if that trains, the candidate is tried once more (not where this is 1). "
        "A device that loses one after the other is given up, and where none is left the run stops",
    )
    candidate_timeout_s: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="seconds after which a candidate is given up as failed; without it what takes ten times as long as "
        "the slowest so far, and more than ten minutes, is tried elsewhere",
    )
    memory_limit_mb: Annotated[int, Field(ge=500)] = Field(
        4096, description="resident memory above which an evaluator is replaced between two candidates"
    )
    cache_dir: str | None = Field(None, description="where decoded pictures are kept; default ~/.cache/esr_ray")
    cache_limit_gb: Annotated[float, Field(ge=0)] = Field(
        100.0,
        description="how much is kept there: where a run makes it more, what was not used for longest is removed "
        "(`python -m esr_ray.cache` shows it and empties it)",
    )


class OutputConfig(Section):
    """Where results go."""

    dir: str = Field("runs", description="folder of run folders")
    name: str | None = Field(None, description="name of the run folder; default: the file's name with date and time")


Step = Literal["search", "full_training", "benchmarks"]


class Config(Section):
    """One experiment."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="seed of all randomness of the run")
    pipeline: tuple[Step, ...] = Field(
        ("search", "full_training", "benchmarks"), description="steps that run, in order"
    )
    task: TaskConfig = TaskConfig()
    space: SpaceConfig = SpaceConfig()
    evolution: EvolutionConfig = EvolutionConfig()
    data: DataConfig
    fast_training: TrainingConfig = Field(TrainingConfig(), description="the short training that fitness comes from")
    full_training: FullTrainingConfig = Field(FullTrainingConfig(), description="the training of the winner")
    networks: tuple[Blocks, ...] = Field(
        (),
        description="networks to train in full, each a list of blocks (its base channels may stand first, "
        "such as G0_16), where the pipeline has no search",
    )
    benchmarks: tuple[BenchmarkConfig, ...] = Field((), description="sets to report on beside the test set")
    runtime: RuntimeConfig = RuntimeConfig()
    output: OutputConfig = OutputConfig()

    @model_validator(mode="after")
    def _benchmark_names_differ(self) -> Config:
        names = ["test", *(one.name for one in self.benchmarks)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two sets to report on are called {twice[0]}; rename one (test is the name of data.test)")
        return self

    @model_validator(mode="after")
    def _device_cost_can_be_measured(self) -> Config:
        imitated = self.runtime.resource == "NPU" and self.runtime.target == "cpu"
        if imitated and "search" in self.pipeline and wants_device_cost(self.evolution):
            raise ValueError(
                "evolution.objectives: latency and memory of NPUs cannot be measured where runtime.target is cpu: they "
                "would be those of this CPU; leave them out (params and mult_adds are exact anywhere), or set "
                "runtime.resource to CPU"
            )
        return self

    @model_validator(mode="after")
    def _lengths_differ_in_steps(self) -> Config:
        promotion, steps = self.evolution.promotion, self.fast_training.steps
        if promotion is not None and self.fast_training.epochs is None:
            lengths = [*self.evolution.lengths(steps)]
            if len(set(lengths)) < len(lengths):
                raise ValueError(
                    f"evolution.promotion.lengths: {list(promotion.lengths)} times fast_training.steps ({steps}) are "
                    f"{lengths} steps: two lengths are the same"
                )
        return self

    @model_validator(mode="after")
    def _pipeline_in_order(self) -> Config:
        order = ["search", "full_training", "benchmarks"]
        steps = list(self.pipeline)
        if self.networks:
            if steps not in (order[1:2], order[1:]):
                raise ValueError("networks are trained without a search: set pipeline to [full_training, benchmarks]")
        elif not steps or steps != order[: len(steps)]:
            raise ValueError(f"pipeline must be the first steps of {order}, in this order; or give networks")
        return self
