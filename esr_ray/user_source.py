"""A user's Python file, run from its text: what lies beside it, such as bytecode, is neither read nor written."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType

from esr_ray.errors import UserError


def source_digest(text: str) -> str:
    """By which a file's text is known again: SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_source(path: Path, key: str) -> str:
    """The text of a Python file. Raises UserError, with the configuration's `key`, if there is none or it is not
    UTF-8."""
    if not path.is_file():
        raise UserError(f"{key}: {path} is not a file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not in UTF-8 (byte {error.start}); save it in that encoding") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check who may read it") from None


def run_source(path: Path, key: str, name: str) -> ModuleType:
    """The module that a file makes, under a `name` by which others find its source. Raises UserError as `read_source`
    does, and if the file cannot be run."""
    text = read_source(path, key)
    if path.suffix != ".py":
        raise UserError(f"{path}: is not a Python file")
    module = ModuleType(name)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    # MindSpore looks the source of graph code up by the module's name.
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise UserError(f"{path}: could not be imported: {type(error).__name__}: {error}") from error
    return module
