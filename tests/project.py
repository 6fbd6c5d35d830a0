"""The checkout that the tests are in, and what it says of itself."""

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def pyproject(root: Path = ROOT) -> dict[str, Any]:
    """The content of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text())
