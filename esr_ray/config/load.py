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

from esr_ray.config.reference import TRANSLATED, is_reference, translate
from esr_ray.config.schema import Config
from esr_ray.errors import UserError


@dataclass(frozen=True)
class Loaded:
    """A checked configuration, and what its user should know of how it was read."""

    config: Config
    warnings: tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as text (it wants 1.0e-4); here it is the number that its writer meant.

    A key that stands twice in a section is an error; PyYAML would take the last in silence. Where both have one value,
    `repeated` has the error: a file of the reference (Vega 1.3) is such a one.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[yaml.MarkedYAMLError] = []

    # PyYAML takes quadratic time for deep brackets, and so levels are counted where they begin.
    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= MOST_LEVELS:
            raise _TooDeep
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        if len(self.indents) >= MOST_LEVELS:
            raise _TooDeep
        return super().add_indent(column)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # Whatever comes of a date that no calendar has, or of a tag that is not the value's.
            kind = node.tag.rpartition(":")[2]
            why = f": {error}" if isinstance(error, ValueError) else ""
            problem = f"{_short(node.value)} is no {_TAGS.get(kind, kind)}{why}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        seen: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key.value, str):
                continue
            if (first := seen.setdefault(key.value, value)) is not value:
                error = yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
                if (first.tag, first.value) != (value.tag, value.value) or not isinstance(value, yaml.ScalarNode):
                    raise error
                self.repeated.append(error)
        return node


_TAGS = {"int": "whole number", "float": "number", "bool": "true or false", "timestamp": "date", "binary": "base64"}

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+"),
    list("-+0123456789"),
)


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Loaded:
    """Read, override (`key.path=value`, the value as YAML) and check a configuration.

    Raises UserError, one line a fault, each with the file, the key path, and what to do.
    """
    content, overrides = read_yaml(path), list(overrides)
    warnings: tuple[str, ...] = ()
    where = str(path)
    if is_reference(content):
        content, warnings = translate(
            content,
            str(path),
            lambda native, name: check_config(with_overrides(native, overrides), name),
            has_test=any(one.strip().startswith("data.test.hr=") for one in overrides),
        )
        where += TRANSLATED
    return Loaded(check_config(with_overrides(content, overrides), where), warnings)


def with_overrides(content: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Plain data with `key.path=value` overrides applied. Raises UserError for one that does not read.

    A training's length in epochs takes the place of one in steps, and the other way round.
    """
    changed = copy.deepcopy(dict(content))
    overrides = list(overrides)
    for override in overrides:
        _apply(changed, override)
    given = {override.partition("=")[0].strip() for override in overrides}
    for section in ("fast_training", "full_training"):
        training = changed.get(section)
        for key, other in (("epochs", "steps"), ("steps", "epochs")):
            alone = f"{section}.{key}" in given and f"{section}.{other}" not in given
            if alone and isinstance(training, dict) and training.get(key) is not None:
                training.pop(other, None)
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


MOST_CHARACTERS = 2_000_000
MOST_VALUES = 100_000
"""Of a configuration, with all that its aliases stand for: a few hundred bytes of these may stand for gigabytes."""
MOST_LEVELS = 50
_SHOWN = 200
"""So many characters of a value, or of an override, are shown in an error."""


class _TooMuch(ValueError):
    """More than a configuration can have."""


class _TooDeep(_TooMuch):
    """A configuration that is nested deeper than it can be."""

    def __str__(self) -> str:
        return f"it is nested deeper than {MOST_LEVELS} levels"


def _load(text: str) -> Any:
    """The content of YAML. Raises _TooMuch for more of it than a configuration can have, before it takes memory."""
    if len(text) > MOST_CHARACTERS:
        raise _TooMuch(f"it has {len(text):,} characters; a configuration has at most {MOST_CHARACTERS:,}")
    loader = _Loader(text)
    content = loader.get_single_data()
    _check_size(content)
    if loader.repeated and not (isinstance(content, dict) and is_reference(content)):
        raise loader.repeated[0]
    return content


def _check_size(content: Any) -> None:
    count, waiting = 0, [(content, 1)]
    while waiting:
        value, level = waiting.pop()
        count += 1
        if level > MOST_LEVELS:
            raise _TooDeep
        if count > MOST_VALUES:
            raise _TooMuch(f"it has more than {MOST_VALUES:,} values, those that its aliases stand for included")
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting += [(one, level + 1) for one in inside]


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = _load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        if "character '\\t'" in problem:
            problem += "; a tab indents nothing in YAML, indent with spaces"
        raise UserError(f"{where}{place}: is not valid YAML: {problem}") from None
    except _TooMuch as error:
        raise UserError(f"{where}: is not a configuration: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{where}: must be a mapping of sections (task, space, evolution, data, ...)")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    shown = " ".join(override.split())
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
    if not equals or not all(keys):
        raise UserError(f"--set {shown}: write KEY.PATH=VALUE, such as evolution.num_generation=3")
    try:
        value = _load(text)
    except (yaml.YAMLError, _TooMuch):
        raise UserError(f"--set {shown}: the value is not valid YAML") from None
    section = content
    for key in keys[:-1]:
        section = section.setdefault(key, {})
        if not isinstance(section, dict):
            raise UserError(f"--set {shown}: {key} is a value, not a section")
    section[keys[-1]] = value


def check_config(content: Mapping[str, Any], where: str) -> Config:
    """Check plain data against the schema; `where` is the file that messages name."""
    try:
        text = json.dumps(content, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        # Half of a pair of surrogates, or a byte of a file's name that is no UTF-8.
        around = _short(error.object[max(0, error.start - 20) : error.end + 20])
        raise UserError(f"{where}: is not a configuration: {around} has a character that is none; change it") from None
    except (TypeError, ValueError) as error:
        # Keys that are dates or empty, a section that holds itself by an alias.
        raise UserError(f"{where}: is not a configuration: {error}") from None
    try:
        # In JSON mode strict types still take a list for a tuple and 1 for 1.0, but never "1" for 1.
        return Config.model_validate_json(text)
    except ValidationError as error:
        lines = [f"{where}: {line}" for line in _explain(error.errors(include_url=False))]
        raise UserError("\n".join(lines)) from None


@dataclass
class _Fault:
    """What is wrong with one key: alternatives of a union come as several of Pydantic's errors, and are one fault."""

    key: str
    wanted: list[str]
    models: list[type[BaseModel]]
    error: Any


def _explain(errors: Iterable[Any]) -> list[str]:
    """A line for each fault, without the file."""
    faults: dict[tuple[str, bool], _Fault] = {}
    for error in errors:
        if error["type"] == "default_factory_not_called":
            # A default that depends on other keys of its section, of which one is wrong: that is told in its place.
            continue
        location, models, alternative = _follow(error["loc"])
        key = ".".join(map(str, location))
        fault = faults.setdefault((key, alternative), _Fault(key, [], models, error))
        fault.wanted.append(_wanted(error, models))
    lines: dict[str, None] = {}
    meant = set()
    for fault in faults.values():
        if fault.error["type"] == "extra_forbidden":
            line, nearest = _unknown_key(fault)
            meant.add(nearest)
            lines[line] = None
    for fault in faults.values():
        # A key that is missing because its name was mistyped is one fault, told above.
        if fault.error["type"] != "extra_forbidden" and not (fault.error["type"] == "missing" and fault.key in meant):
            lines[_line(fault)] = None
    return [line.replace("\n", "\\n") for line in lines]


def _line(fault: _Fault) -> str:
    kind, key = fault.error["type"], f"{fault.key}: " if fault.key else ""
    wanted = " or ".join(dict.fromkeys(fault.wanted))
    if kind == "missing":
        return f"{key}is missing; {_description(fault)}"
    if kind == "value_error":
        return f"{key}{wanted}"
    if kind == "union_tag_not_found":
        return f"{key}type is missing; give it ({wanted})"
    if kind == "union_tag_invalid":
        return f"{key}type must be {wanted}, got {_short(fault.error['input']['type'])}"
    return f"{key}must be {wanted}, got {_short(fault.error['input'])}{_hint(fault)}"


def _short(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _hint(fault: _Fault) -> str:
    """Which of the values that a key may have was perhaps meant."""
    given = fault.error["input"]
    if fault.error["type"] != "literal_error" or not isinstance(given, str):
        return ""
    known = re.findall(r"'([^']*)'", fault.error["ctx"]["expected"])
    near = difflib.get_close_matches(given.lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _wanted(error: Any, models: list[type[BaseModel]]) -> str:
    kind = error["type"]
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return " or ".join(repr(_tag(model)) for model in models)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "a section"
    if kind == "tuple_type":
        return "a list"
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return message[0].lower() + message[1:]


def _follow(loc: Iterable[str | int]) -> tuple[list[str | int], list[type[BaseModel]], bool]:
    """Of where Pydantic says an error is: the key path, the sections that its last key may be in or may be, and
    whether the error is of one alternative of several."""
    path: list[str | int] = []
    models: list[type[BaseModel]] = [Config]
    parts = list(loc)
    for index, part in enumerate(parts):
        fields = next((model.model_fields for model in models if part in model.model_fields), None)
        if isinstance(part, int):
            path.append(part)
        elif fields is not None:
            path.append(part)
            if index < len(parts) - 1 or section_models(fields[part].annotation):
                models = section_models(fields[part].annotation)
        elif tagged := [model for model in models if _tag(model) == part]:
            models = tagged
        elif models and index == len(parts) - 1:
            path.append(part)
        else:
            return path, models, True
    return path, models, False


def _tag(model: type[BaseModel]) -> str | None:
    """What `type` says where a section is this one of several."""
    field = model.model_fields.get("type")
    return next(iter(get_args(field.annotation)), None) if field is not None else None


def _unknown_key(fault: _Fault) -> tuple[str, str]:
    """The line, and the key path that it supposes was meant (empty: none)."""
    section, _, key = fault.key.rpartition(".")
    known = sorted(name for model in fault.models for name in model.model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    elsewhere = [path for path in key_paths(Config) if path.rpartition(".")[2] == key]
    meant = elsewhere[0] if elsewhere else f"{section}.{near[0]}".lstrip(".") if near else ""
    hint = f"did you mean {meant}?" if meant else f"known here are {', '.join(known)}"
    return f"{fault.key}: unknown key; {hint}", meant


def _description(fault: _Fault) -> str:
    name = fault.key.rpartition(".")[2]
    fields = [model.model_fields[name] for model in fault.models if name in model.model_fields]
    return f"give it ({fields[0].description})" if fields and fields[0].description else "give it"


def section_models(annotation: Any) -> list[type[BaseModel]]:
    """The sections among the types that a key may have."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in section_models(part)]


def key_paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All key paths of a configuration section, such as evolution.num_generation."""
    paths = []
    for name, field in model.model_fields.items():
        nested = section_models(field.annotation)
        paths.append(prefix + name)
        for one in nested:
            paths += key_paths(one, f"{prefix}{name}.")
    return list(dict.fromkeys(paths))
