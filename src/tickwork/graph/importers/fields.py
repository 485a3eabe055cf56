"""Fields of a foreign object: taken one by one, so that what nobody took is known and refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tickwork.core.language.lookup import kind_of, snake_case
from tickwork.graph.problems import Problems, nearest
from tickwork.values import NS_PER_SECOND, duration_text

LONGEST_SECONDS: Final = 10 * 366 * 86_400


class Fields:
    """The fields of one object by their snake_case names, whichever way they are spelled.

    A field that is ``null`` is one that is not there.
    """

    def __init__(self, value: Any, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._keys: dict[str, str] = {}
        self._taken: set[str] = set()
        if not isinstance(value, Mapping):
            problems.add(path, kind_of(value), "an object")
            value = {}
        self._value: Mapping[Any, Any] = value
        for key in value:
            name = snake_case(str(key))
            if name in self._keys:
                problems.add(f"{path}.{key}", key, f"one spelling of it: there is {self._keys[name]!r} too")
            self._keys.setdefault(name, key)

    def __contains__(self, name: str) -> bool:
        return self.peek(name) is not None

    def at(self, name: str) -> str:
        """The path of a field, as it is spelled here."""
        return f"{self.path}.{self._keys.get(name, name)}"

    def peek(self, name: str) -> Any:
        """A value that others may still take."""
        return self._value.get(self._keys[name]) if name in self._keys else None

    def take(self, *names: str) -> Any:
        """The value of the first of these fields that is there."""
        for name in names:
            value = self.peek(name)
            if value is not None:
                self._taken.add(name)
                return value
        return None

    def text(self, *names: str) -> str:
        """A text; empty where there is none."""
        return str(self._typed(names, str, "a text", ""))

    def word(self, *names: str) -> str:
        """A text, or a whole number as one: ids are spelled both ways."""
        value = next((found for name in names if (found := self.peek(name)) is not None), None)
        if isinstance(value, int) and not isinstance(value, bool):
            self.take(*names)
            return str(value)
        return self.text(*names)

    def flag(self, name: str) -> bool:
        """A truth value; false where there is none."""
        return bool(self._typed((name,), bool, "true or false", False))

    def object(self, *names: str) -> dict[str, Any]:
        """An object; empty where there is none."""
        found: Mapping[Any, Any] = self._typed(names, Mapping, "an object", {})
        return {str(key): value for key, value in found.items()}

    def items(self, *names: str) -> list[Any]:
        """A list; empty where there is none."""
        return list(self._typed(names, list | tuple, "a list", []))

    def words(self, *names: str) -> list[str]:
        """A list of texts, or one text."""
        found = self.take(*names)
        if found is None:
            return []
        name = next(name for name in names if name in self)
        several = found if isinstance(found, list | tuple) else [found]
        for index, one in enumerate(several):
            if not isinstance(one, str | int) or isinstance(one, bool):
                self.problems.add(f"{self.at(name)}[{index}]", kind_of(one), "a name")
        return [str(one) for one in several if isinstance(one, str | int) and not isinstance(one, bool)]

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number."""
        value = self.take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problems.add(self.at(name), value, f"a whole number from {low} to {high}")
            return None
        return value

    def seconds(self, name: str) -> str:
        """A duration: a number of seconds, or a text with a unit; empty where there is none."""
        value = self.take(name)
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SECONDS:
            self.problems.add(self.at(name), value, "seconds above 0, or a text such as '30s'")
            return ""
        return duration_text(round(value * NS_PER_SECOND))

    def rest(self) -> dict[str, Any]:
        """What nobody has taken, by its snake_case name; it is taken by this."""
        left = [name for name in self._keys if name not in self._taken and name in self]
        return {name: self.take(name) for name in left}

    def done(self, known: str) -> None:
        """Refuse what nobody has taken.

        Args:
            known: the names that are understood here, separated by blanks.
        """
        for name in [name for name in self._keys if name not in self._taken and name in self]:
            expected = f"no field of this name: {nearest(name, known.split())}"
            self.problems.add(self.at(name), _short(self.take(name)), expected)

    def _typed(self, names: tuple[str, ...], kind: Any, words: str, default: Any) -> Any:
        value = self.take(*names)
        if value is None:
            return default
        if not isinstance(value, kind):
            name = next(name for name in names if name in self)
            self.problems.add(self.at(name), kind_of(value), words)
            return default
        return value


def _short(value: Any) -> Any:
    return value if isinstance(value, int | float | bool) else str(value)[:80]
