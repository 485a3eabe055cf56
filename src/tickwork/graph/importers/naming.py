"""Ids for foreign names, and references that follow them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tickwork.core.expressions import compile_expression
from tickwork.graph.document import ID, ID_MAX
from tickwork.graph.wiring.edges import RESERVED

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_PATH = re.compile(r"""\w+(?:\.\w+|\[\s*(?:-?\d+|"[^"]*"|'[^']*')\s*\])*""")
_UNFIT_WORD = re.compile(r"[^A-Za-z0-9_]+")


class Names:
    """Which id a foreign name got."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._ids: dict[str, str] = {}
        self._changed: re.Pattern[str] | None = None

    def claim(self, originals: Iterable[str]) -> None:
        """Give each of these names an id: itself, where it can be one."""
        left = []
        for one in originals:
            if re.fullmatch(ID, one) and len(one) <= ID_MAX and one.lower() not in RESERVED:
                self._taken.add(one)
                self._ids[one] = one
            else:
                left.append(one)
        for one in left:
            self._ids[one] = self.fresh(one)

    def alias(self, name: str, id_: str) -> None:
        """References may name a node by this, too, unless another one is called so."""
        self._ids.setdefault(name, id_)

    def fresh(self, wanted: str) -> str:
        """An id that nobody has, made of a text."""
        stem = _UNFIT.sub("_", wanted).strip("_-")[: ID_MAX - 4] or "node"
        stem = stem if stem[0].isalpha() else f"step_{stem}"[: ID_MAX - 4]
        found, number = stem, 2
        while found in self._taken or found.lower() in RESERVED:
            found, number = f"{stem}_{number}", number + 1
        self._taken.add(found)
        return found

    def id(self, name: str) -> str:
        """The id of a name that was claimed; empty where it was not."""
        return self._ids.get(name, "")

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    @property
    def known(self) -> list[str]:
        """The foreign names."""
        return list(self._ids)

    def template(self, value: Any) -> Any:
        """A value of a document, its references to changed names rewritten."""
        if isinstance(value, str):
            return self._references(value)
        if isinstance(value, list):
            return [self.template(one) for one in value]
        if isinstance(value, dict):
            return {key: self.template(one) for key, one in value.items()}
        return value

    def expression(self, text: str) -> str:
        """An expression, the changed names in it rewritten.

        Raises:
            InvalidInput: it is none.
        """
        text = self._references(text)
        for path in sorted(compile_expression(text).paths, key=lambda one: -one.position):
            name = str(path.parts[0])
            id_ = self._ids.get(name, name)
            if id_ != name:
                text = _renamed(text, path.position, name, id_)
        return text

    def _references(self, text: str) -> str:
        if "{{" not in text:
            return text
        changed = sorted((name for name, id_ in self._ids.items() if name != id_), key=len, reverse=True)
        if not changed:
            return text
        names = "|".join(re.escape(name) for name in changed)
        return re.sub(
            r"(\{\{\s*)(" + names + r")(?=\s*(?:[.\[]|\}\}))", lambda found: found[1] + self._ids[found[2]], text
        )


def _renamed(text: str, at: int, name: str, id_: str) -> str:
    """The path that stands there with another first name; one with a dash can only stand between braces."""
    bare = not text[:at].rstrip().endswith("{{")
    if bare and "-" in id_:
        end = at + len(_PATH.match(text[at:])[0])  # type: ignore[index] # a path begins there
        return text[:at] + "{{" + id_ + text[at + len(name) : end] + "}}" + text[end:]
    return text[:at] + id_ + text[at + len(name) :]


def word(text: str) -> str:
    """A text as a name of a node type or port: lower case, with underscores."""
    return _UNFIT_WORD.sub("_", text.strip()).strip("_").lower()
