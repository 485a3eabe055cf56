"""Entities of a view on the wire: fields with absolute values, by kind and key."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import Raw

from tickwork.core.codec import decode_error, said
from tickwork.service.previews import WHOLE_MAX, bounded_raw
from tickwork.values import plain

Key = tuple[str, str]
"""Kind and key of an entity, such as ``("run", "r12")``."""

Fields = dict[str, Any]

TEXT_MAX: Final = 300
"""Characters of a text for people, such as an error's words."""


def _wire(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    raise NotImplementedError(f"{type(value).__name__} has no form on the wire")


encode: Final = msgspec.json.Encoder(enc_hook=_wire, decimal_format="string").encode


def bounded(value: Raw | bytes, href: str) -> Any:
    """A JSON value as it is shown: whole, or its beginning, its size in bytes, and where all of it is."""
    data = bytes(value)
    if not data:
        return None
    return Raw(data) if len(data) <= WHOLE_MAX else bounded_raw(data, href)


def cut(text: str) -> str:
    """A text for people, not too long."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def words(error: Raw | bytes) -> str | None:
    """A recorded error in words; ``None``: there is none."""
    if not bytes(error):
        return None
    found = decode_error(error)
    return cut(f"{type(found).__name__}: {said(found)}")
