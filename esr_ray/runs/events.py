"""Everything that is told of a run. What the journal keeps, and what is only shown; how the former reads and writes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from esr_ray.metrics import FIGURES, Quality
from esr_ray.runs.folder import FINAL
from esr_ray.search.events import Asked, Dropped, Failed, Finished, Lost, Retried, Started
from esr_ray.training.result import NOT_MEASURED, Seconds


@dataclass(frozen=True)
class RunBegan:
    """A run's first record: what its results depend on.

    `config` is the resolved one, `pictures` a checksum, `files` digests of the user's files by their places in the run
    folder.
    """

    seed: int
    host: str = ""
    versions: dict[str, str] | None = None
    hardware: dict[str, str] | None = None
    pictures: str = ""
    config: dict[str, Any] | None = None
    files: dict[str, str] | None = None
    event: Literal["run"] = "run"


@dataclass(frozen=True)
class Resumed:
    """The run goes on: by the user's will, or because its driver was restarted. Fields as those of `RunBegan`."""

    restarted: bool = False
    host: str = ""
    versions: dict[str, str] | None = None
    hardware: dict[str, str] | None = None
    pictures: str = ""
    config: dict[str, Any] | None = None
    files: dict[str, str] | None = None
    event: Literal["resumed"] = "resumed"


@dataclass(frozen=True)
class TrainingBegan:
    """A full training begins, or goes on after a step. `network` is the label of the network."""

    step: int
    devices: int
    network: str = FINAL
    event: Literal["begun"] = "begun"


@dataclass(frozen=True)
class Validated:
    """The validation pictures were measured within a full training."""

    step: int
    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    network: str = FINAL
    by: str = "psnr_y"
    score: float | None = None
    event: Literal["validated"] = "validated"

    @property
    def quality(self) -> Quality:
        return Quality(self.psnr_y, self.psnr_rgb, self.ssim_y, self.by, self.score)


@dataclass(frozen=True)
class TrainingEnded:
    """A full training is done. `id` is the candidate's; `settings` are those that the result depends on."""

    id: int | None
    arch: tuple[str, ...]
    settings: dict[str, Any]
    checkpoint: str
    seconds: Seconds
    curve: tuple[tuple[int, float], ...]
    kernels: str = ""
    network: str = FINAL
    event: Literal["trained"] = "trained"


@dataclass(frozen=True)
class Reported:
    """A trained network and the baseline (its name) on the test set and the benchmarks; `sets` are those of
    `inference.result.beside`."""

    benchmarks: list[dict[str, Any]]
    seconds: float
    sets: list[dict[str, Any]]
    network: str = FINAL
    baseline: str = "bicubic"
    by: str = "psnr_y"
    event: Literal["reported"] = "reported"


@dataclass(frozen=True)
class Closed:
    """How the run ended: finished, stopped or error."""

    reason: str
    message: str = ""
    event: Literal["closed"] = "closed"


SearchKinds = Asked | Started | Finished | Failed | Lost | Dropped | Retried
RunKinds = RunBegan | Resumed | TrainingBegan | Validated | TrainingEnded | Reported | Closed
Event = SearchKinds | RunKinds
"""What the journal keeps."""


# Shown, and not kept.


@dataclass(frozen=True)
class Said:
    """A line that the user should read."""

    line: str


@dataclass(frozen=True)
class PhaseBegan:
    """What the run does now; of a full training the network's label and its steps."""

    name: str
    network: str = FINAL
    steps: int = 0


@dataclass(frozen=True)
class DevicesCounted:
    """So many devices train candidates from now on."""

    count: int


@dataclass(frozen=True)
class BaselineMeasured:
    """What there is without a network (`name`, such as bicubic) on the validation pictures: its figure `by`."""

    name: str
    fitness: float
    by: str = "psnr_y"


@dataclass(frozen=True)
class Progressed:
    """A full training: mean loss of the steps since the last call."""

    step: int
    loss: float
    network: str = FINAL


@dataclass(frozen=True)
class CurveFound:
    """A point of the loss curve of a full training that goes on: from the state that it goes on from."""

    step: int
    loss: float
    network: str = FINAL


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison picture (H, W, 3) uint8: of the search's best candidate so far, or within a full training."""

    picture: np.ndarray
    step: int
    network: str | None = None


Notice = Said | PhaseBegan | DevicesCounted | BaselineMeasured | Progressed | CurveFound | Compared

_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def encode(event: Event) -> dict[str, Any]:
    """The content of an event for the journal; what need not be there, and is not, is left out."""
    may_lack = {one.name for one in fields(event) if one.default is None}
    content = {key: value for key, value in asdict(event).items() if value is not None or key not in may_lack}
    if isinstance(event, Finished) and event.cost == NOT_MEASURED:
        del content["cost"]
    return content


def decode(content: dict[str, Any]) -> Event:
    """The inverse of `encode`. Raises ValueError where it is none of these events; fields of later versions pass."""
    try:
        event = _ADAPTER.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{content.get('event')!r}: {where}: {first['msg']}") from None
    if isinstance(event, Finished | Validated):
        if event.by not in FIGURES or getattr(event, event.by) is None:
            raise ValueError(f"{content.get('event')!r}: by: {event.by!r} is no figure that it has")
        if not math.isfinite(event.quality.fitness):
            raise ValueError(f"{content.get('event')!r}: {event.by}: {event.quality.fitness} is not a finite number")
    return event
