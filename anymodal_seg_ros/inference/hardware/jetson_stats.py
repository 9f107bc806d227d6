"""What jetson-stats (``jtop``) knows of a Jetson, where it is installed. Not yet verified there.

For reports that somebody asks for: its first figures take up to a second.
"""

from __future__ import annotations

from typing import Any


def jetson_stats() -> dict[str, Any]:
    """Return its figures by name; empty where it is not installed, or its service does not run."""
    try:
        from jtop import jtop
    except Exception:  # a library of the system's Python may break in any way
        return {}
    try:
        with jtop() as jetson:
            return {str(k): _plain(v) for k, v in jetson.stats.items()} if jetson.ok() else {}
    except Exception as error:  # its errors have no common base, and a report goes on without it
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool) else str(value)
