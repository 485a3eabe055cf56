"""MCP is an extra: its library brings as much again as all the rest."""

from __future__ import annotations

from importlib.util import find_spec

from tickwork.errors import NotFound


def there() -> bool:
    """Is the library installed?"""
    return find_spec("mcp") is not None


def needed(path: str) -> None:
    """
    Raises:
        NotFound: it is not installed.
    """
    if not there():
        raise NotFound(path, "no library for MCP", "the extra: pip install 'tickwork[mcp]'")
