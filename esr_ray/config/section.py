"""What all sections of a configuration have in common: values are checked strictly, and nothing unknown is let in."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Blocks = Annotated[tuple[str, ...], Field(min_length=1)]
"""A network by the names of its blocks."""


class Section(BaseModel):
    """A section of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
