"""Cursors: where a page ended, as a text that only the next page reads."""

from __future__ import annotations

import base64
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import Field

from tickwork.errors import InvalidInput

T = TypeVar("T")

Place = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
"""A position or a time in a cursor: what the tape can hold."""

LongCursor = Annotated[str | None, Field(max_length=4_000, description="`next` of the page before.")]
"""Where a page may end at a name of people's own."""


def cursor_of(place: Any) -> str:
    """A cursor of plain values."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str | None, kind: type[T]) -> T | None:
    """What a cursor is of; ``None``: the first page is wanted.

    Raises:
        InvalidInput: it is not one of this list.
    """
    if cursor is None:
        return None
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(data, type=kind)
    except (ValueError, msgspec.MsgspecError):
        raise InvalidInput("cursor", cursor, "`next` of the page before") from None
