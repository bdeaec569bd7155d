"""Reading decoded JSON whose members may be absent, null or of another type than expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


def structure(value: Mapping[str, Any], *path: str) -> dict[str, Any]:
    """Return the structure at a path, empty where there is none."""
    found: Any = value
    for key in path:
        found = cast('dict[str, Any]', found).get(key) if isinstance(found, dict) else None
    return cast('dict[str, Any]', found) if isinstance(found, dict) else {}


def structures(value: Mapping[str, Any], *path: str) -> list[dict[str, Any]]:
    """Return the structures of the list at a path, none where there is no list."""
    found = structure(value, *path[:-1]).get(path[-1])
    items = cast('list[Any]', found) if isinstance(found, list) else []
    return [cast('dict[str, Any]', item) for item in items if isinstance(item, dict)]
