"""Reading a configuration: file, overrides, translation of the reference's layout, and the check of every key."""

from __future__ import annotations

import copy
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from esr_ray.config.reference import is_reference, translate
from esr_ray.config.schema import Config
from esr_ray.errors import UserError


@dataclass(frozen=True)
class Loaded:
    """A checked configuration, and what its user should know of how it was read."""

    config: Config
    warnings: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as text (it wants 1.0e-4); here it is the number that its writer meant."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+"),
    list("-+0123456789"),
)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Loaded:
    """Read, override (`key.path=value`, the value as YAML) and check a configuration.

    Raises UserError, one line a fault, each with the file, the key path, and what to do.
    """
    content = read_yaml(path)
    warnings: tuple[str, ...] = ()
    if is_reference(content):
        content, warnings = translate(content, str(path))
    return Loaded(check_config(with_overrides(content, overrides), str(path)), warnings)


def with_overrides(content: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Plain data with `key.path=value` overrides applied. Raises UserError for one that does not read."""
    changed = copy.deepcopy(dict(content))
    for override in overrides:
        _apply(changed, override)
    return changed


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. Raises UserError where there is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: there is no such file; configurations that come with esr_ray are in configs/"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: could not be read: {error}") from None
    return _parse(text, str(path))


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{where}{place}: is not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{where}: must be a mapping of sections (task, space, evolution, data, ...)")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {override}: write KEY.PATH=VALUE, such as evolution.num_generation=3")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: the value is not valid YAML") from None
    section = content
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise UserError(f"--set {override}: {key} is a value, not a section")
    section[keys[-1]] = value


def check_config(content: Mapping[str, Any], where: str) -> Config:
    """Check plain data against the schema; `where` is the file that messages name."""
    try:
        # In JSON mode strict types still take a list for a tuple and 1 for 1.0, but never "1" for 1.
        return Config.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        lines = [f"{where}: {_explain(fault)}" for fault in error.errors(include_url=False)]
        raise UserError("\n".join(dict.fromkeys(lines))) from None


def _explain(fault: Any) -> str:
    location = [part for part in fault["loc"] if part not in ("cosine", "multistep", "FolderConfig")]
    key = ".".join(str(part) for part in location) or "the whole"
    kind, message = fault["type"], fault["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return _unknown_key(location)
    if kind == "missing":
        return f"{key}: is missing; {_description(location)}"
    if kind.endswith("_type") or kind in ("int_from_float", "literal_error", "model_attributes_type"):
        return f"{key}: {message[0].lower()}{message[1:]}, got {fault['input']!r}"
    return f"{key}: {message[0].lower()}{message[1:]}" + (f", got {fault['input']!r}" if kind != "value_error" else "")


def _unknown_key(location: list[Any]) -> str:
    key = str(location[-1])
    path = ".".join(str(part) for part in location)
    known = sorted(_model_at(location[:-1]).model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if near:
        full = ".".join([*map(str, location[:-1]), near[0]])
        return f"{path}: unknown key; did you mean {full}?"
    elsewhere = [full for full in key_paths(Config) if full.rpartition(".")[2] == key]
    if elsewhere:
        return f"{path}: unknown key; did you mean {elsewhere[0]}?"
    return f"{path}: unknown key; known here are {', '.join(known)}"


def _description(location: list[Any]) -> str:
    field = _model_at(location[:-1]).model_fields.get(str(location[-1]))
    return f"give it ({field.description})" if field is not None and field.description else "give it"


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _model_at(location: Iterable[Any]) -> type[BaseModel]:
    model: type[BaseModel] = Config
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            nested = _models(model.model_fields[part].annotation)
            model = nested[0] if nested else model
    return model


def key_paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All key paths of a configuration section, such as evolution.num_generation."""
    paths = []
    for name, field in model.model_fields.items():
        nested = _models(field.annotation)
        paths.append(prefix + name)
        for one in nested:
            paths += key_paths(one, f"{prefix}{name}.")
    return list(dict.fromkeys(paths))
