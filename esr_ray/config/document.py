"""The page that explains every key, made from the schema: docs/configuration.md is what this prints."""

from __future__ import annotations

import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from esr_ray.config.load import section_models
from esr_ray.config.schema import Config, CosineSchedule, MultiStepSchedule

HEAD = """\
# Configuration

One YAML file is one experiment. Every key is checked before anything runs; an unknown key is an error that names the
nearest known one. `--set section.key=value` overrides a key on the command line. A file in the layout of the reference
implementation (Vega, MindSpore's model zoo) is accepted and translated, and what that means is said in warnings.

Paths are relative to the folder in which the command is run. `1e-4` is a number. This page is made from the schema:
`python -m esr_ray.config.document > docs/configuration.md`.
"""


def configuration_page() -> str:
    """The page as Markdown: a table for each section."""
    parts = [HEAD, _section("Top level", "", Config)]
    for name, field in Config.model_fields.items():
        for model in section_models(field.annotation):
            parts += _pages(name, model)
    return "\n".join(parts)


def _pages(path: str, model: type[BaseModel]) -> list[str]:
    pages = [_section(f"`{path}`", path, model)]
    for name, field in model.model_fields.items():
        for nested in section_models(field.annotation):
            kind = {CosineSchedule: " (type: cosine)", MultiStepSchedule: " (type: multistep)"}.get(nested, "")
            # Both trainings have the same schedules, and all sets of pictures the same folders: told once.
            if path != "full_training" and not (path == "data" and name in ("validation", "test")):
                pages.append(_section(f"`{path}.{name}`{kind}", f"{path}.{name}", nested))
    return pages


def _section(title: str, path: str, model: type[BaseModel]) -> str:
    doc = (model.__doc__ or "").strip()
    lines = [f"## {title}\n", f"{doc}\n", "| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        nested = section_models(field.annotation)
        default = "required" if field.default is PydanticUndefined else _default(field.default)
        default = "of the task" if field.default_factory is not None else default
        meaning = (
            field.description or (nested[0].__doc__ or "").strip().splitlines()[0] if nested else field.description
        )
        lines.append(f"| `{name}` | {_type(field.annotation)}{_range(field.metadata)} | {default} | {meaning or ''} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{json.dumps(value)}`"


def _type(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0]) + _range(parts[1:])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys("null" if part is NoneType else _type(part) for part in parts))
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {bool: "true or false", int: "integer", float: "number", str: "text"}.get(annotation, str(annotation))


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}


def _range(metadata: Any) -> str:
    limits = []
    for one in metadata:
        for part in getattr(one, "metadata", [one]):
            limits += [
                f"{sign} {getattr(part, key)}" for key, sign in _SIGNS.items() if getattr(part, key, None) is not None
            ]
    return f" ({', '.join(limits)})" if limits else ""


if __name__ == "__main__":
    print(configuration_page(), end="")
