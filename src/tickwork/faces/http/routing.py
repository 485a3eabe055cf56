"""Which operation a method and a path mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

from tickwork.faces.http.replies import refusal
from tickwork.service.api.operation import Operation

BASE: Final = "/api/v1"

_BRACES: Final = re.compile(r"\{(\w+)\}")


class Place:
    """A path, and what can be done there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.parts = path.strip("/").split("/")
        self.names = [match[1] if (match := _BRACES.fullmatch(part)) else None for part in self.parts]
        """Of each part the field that it is, or ``None`` where it is written as it stands."""
        self.by_method: dict[str, Operation] = {}

    @property
    def rank(self) -> tuple[bool, ...]:
        """What is written as it stands goes before what may be anything."""
        return tuple(name is not None for name in self.names)

    @property
    def allowed(self) -> list[str]:
        """Methods."""
        found = {*self.by_method, "OPTIONS"}
        if "GET" in found:
            found.add("HEAD")
        return sorted(found)

    def match(self, parts: list[str]) -> dict[str, str] | None:
        """The fields in the parts of a path; ``None``: it is another place's."""
        fields = {}
        for mine, name, part in zip(self.parts, self.names, parts, strict=True):
            if name is None:
                if mine != part:
                    return None
            elif part:
                fields[name] = part
            else:
                return None
        return fields


class Routes:
    """All places of a table of operations."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.places: dict[str, Place] = {}
        for operation in operations:
            place = self.places.setdefault(operation.path, Place(operation.path))
            assert operation.method not in place.by_method, f"two operations are {operation.method} {operation.path}"
            place.by_method[operation.method] = operation
        self._fixed = {place.path: place for place in self.places.values() if not any(place.names)}
        self._open: dict[int, list[Place]] = {}
        for place in sorted(self.places.values(), key=lambda place: place.rank):
            if any(place.names):
                self._open.setdefault(len(place.parts), []).append(place)

    def find(self, raw_path: bytes) -> tuple[Place, dict[str, str]]:
        """The place of a path below the base, as it came over the wire, and the fields in it.

        Raises:
            Refusal: there is none, or the path is not UTF-8.
        """
        try:
            fixed = self._fixed.get(raw_path.decode("ascii"))
            if fixed is not None:
                return fixed, {}
            # taken apart before it is decoded: an id may have a slash, written %2F
            parts = [unquote_to_bytes(part).decode() for part in raw_path.strip(b"/").split(b"/")]
        except UnicodeDecodeError:
            raise refusal("bad-request", "the path is not UTF-8, percent-encoded") from None
        if not raw_path.endswith(b"/"):
            for place in self._open.get(len(parts), ()):
                fields = place.match(parts)
                if fields is not None:
                    return place, fields
        shown = "/".join(parts)[:200]
        raise refusal(
            "not-found", f"there is nothing at {BASE}/{shown}; {BASE}/openapi.json says what there is", kind="path",
            id=f"{BASE}/{shown}",
        )  # fmt: skip
