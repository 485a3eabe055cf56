"""Values that may be large, as answers hold them: whole where they are small, else a preview and where the whole is."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

WHOLE_MAX: Final = 8_000
"""Bytes of JSON up to which a value is in an answer as it is."""

PREVIEW: Final = 1_000
"""Bytes of its JSON that are shown of a larger one."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """Stands for a value that is too large to be in a list."""

    preview: str
    """The beginning of its JSON."""
    size: int
    """Bytes of its JSON."""
    href: str
    """Where the whole of it can be had."""


def bounded(value: Any, href: str) -> Any:
    """A value of JSON, or a ``Preview`` of it."""
    return bounded_raw(msgspec.json.encode(value), href)


def bounded_raw(data: bytes | Raw, href: str) -> Any:
    """The same, of its JSON; nothing at all is ``None``."""
    wire = bytes(data)
    if len(wire) > WHOLE_MAX:
        return Preview(preview=wire[:PREVIEW].decode(errors="ignore"), size=len(wire), href=href)
    return msgspec.json.decode(wire) if wire else None
