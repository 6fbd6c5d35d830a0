"""Paths of a configuration made absolute, so that a run can be resumed from another folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from esr_ray.config.load import check_config
from esr_ray.config.schema import Config
from esr_ray.picture_files import SAMPLE_NAME

_PATH_KEYS = {"hr", "lr", "file", "user_blocks", "cache_dir", "dir", "rank_table"}


def absolute_paths(config: Config) -> Config:
    """The same configuration with every path absolute (from the current folder)."""
    return check_config(_absolute(config.model_dump(mode="json")), "the configuration with absolute paths")


def _absolute(content: Any, key: str = "") -> Any:
    if isinstance(content, dict):
        return {name: _absolute(part, name) for name, part in content.items()}
    if isinstance(content, list):
        return [_absolute(part, key) for part in content]
    if key in _PATH_KEYS and isinstance(content, str) and content != SAMPLE_NAME:
        return str(Path(content).expanduser().absolute())
    return content
