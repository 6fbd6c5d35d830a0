"""The section `task`: what the networks are for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from esr_ray.config.section import Section

Sigma = Annotated[float, Field(gt=0, le=255)]

Name = Literal["super_resolution", "denoising", "demosaicking", "user"]
Scale = Literal[1, 2, 3, 4]

SCALES: dict[str, tuple[Scale, ...]] = {
    "super_resolution": (2, 3, 4),
    "denoising": (1,),
    "demosaicking": (2,),
    "user": (1, 2, 3, 4),
}
"""Enlargements that each task may have, its default first."""
_OWNERS = {
    "colour": "super_resolution",
    "sigma": "denoising",
    "clip": "denoising",
    "pattern": "demosaicking",
    "file": "user",
}
"""The task that a key belongs to."""


def _name(given: dict[str, Any]) -> Name:
    return "user" if given.get("file") is not None else "super_resolution"


def _scale(given: dict[str, Any]) -> Scale:
    # A name that is wrong is not among what was given; that is told in its place.
    return SCALES[given.get("name", "super_resolution")][0]


class TaskConfig(Section):
    """What the networks are for."""

    file: str | None = Field(
        None, description="a task of your own: path of a Python file that defines how pictures are degraded"
    )
    name: Name = Field(
        default_factory=_name,
        description="larger pictures, pictures without noise, RGB from a Bayer mosaic, or what `file` defines; without "
        "it super_resolution, or user if there is a file",
    )
    scale: Scale = Field(
        default_factory=_scale,
        description="enlargement of each side: super-resolution 2 (the default) to 4; denoising 1; demosaicking 2, as "
        "its input is packed; a task of your own 1 (the default) to 4",
    )
    colour: Literal["rgb", "luminance"] = Field(
        "rgb",
        description="super-resolution: a network sees RGB, or Y alone (one channel; bicubic enlarges the colours)",
    )
    sigma: Sigma | tuple[Sigma, Sigma] = Field(
        25, description="denoising: standard deviation of the noise, of 255; two numbers: anything between them"
    )
    clip: bool = Field(False, description="denoising: whether noisy pictures are clipped to what 8 bits hold")
    pattern: Literal["RGGB", "GRBG", "GBRG", "BGGR"] = Field(
        "RGGB", description="demosaicking: colours of the sensor's first two pixels in its first two rows"
    )

    @property
    def sigmas(self) -> tuple[float, float]:
        """The least and the greatest standard deviation of the noise."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma, self.sigma)

    @model_validator(mode="after")
    def _of_this_task(self) -> TaskConfig:
        allowed = SCALES[self.name]
        if self.scale not in allowed:
            raise ValueError(f"scale: {self.scale} is not for {self.name} ({', '.join(map(str, allowed))})")
        for key, owner in _OWNERS.items():
            if owner != self.name and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: is for {owner}, not for {self.name}; remove it")
        if self.name == "user" and self.file is None:
            raise ValueError("file: give the Python file that defines the task")
        if self.sigmas[0] > self.sigmas[1]:
            raise ValueError(f"sigma: {list(self.sigmas)} is no range: give the smaller number first")
        return self
