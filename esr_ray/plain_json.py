"""JSON for other programs: RFC 8259 has no NaN and no infinity, which Python would write."""

from __future__ import annotations

import json
import math
from typing import Any


def to_plain_json(content: Any, indent: int | None = None) -> str:
    """The content (dicts, lists, tuples, plain values) as JSON; numbers that are not finite become null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
