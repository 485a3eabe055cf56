"""Changes of a document by paths: ``{"steps[2].params.threshold": 0.9}``.

* ``steps[2]``: the third step of a document that was read from a list of steps (``metadata.steps`` keeps their order),
  else its third node. ``nodes[2]``: the third node.
* ``nodes.fetch`` and ``fetch``: the node of that id; a field of the document goes before a node of its name.
* ``triggers[0].threshold``, ``limits.timeout``, ``priority``: fields of the document.

Fields are camelCase or snake_case; a key with other signs is written ``params["a.b"]``. Params, inputs, metadata and
triggers are open: a key that is not there yet may be set, ``None`` takes one away, and whether the node type or the
trigger knows it is found when the document is checked. All of a set of updates is done, or nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

from pydantic.alias_generators import to_camel

from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.reading import read_document

STEPS: Final = "steps"
"""In a document's metadata: the ids of its nodes in the order of the steps it was read from."""

_OPEN: Final = frozenset({"params", "inputs", "metadata"})
_PART: Final = re.compile(r'\.(?P<name>[^.\[\]"]+)|\[(?P<index>\d{1,6})\]|\[(?P<key>"(?:[^"\\]|\\.)*")\]')
_GOOD_PATH: Final = "a path such as steps[2].params.threshold, fetch.params.depth or triggers[0].threshold"

Step = str | int
Place = tuple[Step, ...]


def apply_updates(document: Document, updates: Mapping[str, Any], library: Library | None = None) -> Document:
    """The document with these values at these paths; the given one is left as it is.

    Args:
        library: knows which params a node type has; without one any may be set.

    Raises:
        InvalidDocument: every path that leads nowhere (with the nearest that exists), is said twice or lies in another
            one, and every value that its place does not take.
    """
    problems = Problems()
    # with its defaults: a field that the canonical form leaves out is there all the same
    whole = document.model_dump(mode="json", by_alias=True)
    walk, found = _Walk(document, deepcopy(whole), library), dict[Place, tuple[str, Any]]()
    for path, value in updates.items():
        try:
            place = walk.resolve(path)
            _check_once(found, place, path)
            found[place] = (path, value)
        except InvalidInput as error:
            problems.caught(error)
    problems.check(document.name)
    for place, (_, value) in found.items():
        _put(whole, place, deepcopy(value))
    changed = read_document(whole, document.name)
    _check_names(document, changed, problems)
    problems.check(document.name)
    return changed


def step_ids(document: Document) -> list[str]:
    """Ids of the steps, as ``steps[i]`` counts them."""
    told = document.metadata.get(STEPS)
    return [str(id) for id in told] if isinstance(told, list) and told else [node.id for node in document.nodes]


def _check_once(found: Mapping[Place, tuple[str, Any]], place: Place, path: str) -> None:
    for other, (text, _) in found.items():
        short = min(len(other), len(place))
        if other[:short] == place[:short]:
            raise InvalidInput(path, f"the same place as {text}, or one inside the other", "each place once")


def _check_names(old: Document, new: Document, problems: Problems) -> None:
    """What everything else refers to stays."""
    if new.name != old.name:
        problems.add("name", new.name, f"{old.name!r}: the id is made of it; create another document instead")
    for before, after in zip(old.nodes, new.nodes, strict=False):
        if len(old.nodes) == len(new.nodes) and before.id != after.id:
            problems.add(f"nodes.{before.id}.id", after.id, f"{before.id!r}: edges and references name it")


def _put(whole: Any, place: Place, value: Any) -> None:
    here = whole
    for step in place[:-1]:
        here = here[step]
    if value is None and _is_open(place[:-1]):
        here.pop(place[-1], None)
    else:
        here[place[-1]] = value


def _is_open(place: Place) -> bool:
    """May the object there have keys that nobody declared?"""
    return not _OPEN.isdisjoint(place) or (len(place) == 2 and place[0] == "triggers")


class _Found(NamedTuple):
    place: Place
    value: Any
    path: str
    """As far as it has been read."""


class _Walk:
    """Follows paths into a document with its defaults."""

    def __init__(self, document: Document, whole: dict[str, Any], library: Library | None) -> None:
        self._whole = whole
        self._library = library
        self._ids = [node.id for node in document.nodes]
        self._steps = step_ids(document)

    def resolve(self, path: str) -> Place:
        """The keys and indexes that lead to a place. All but the last exist.

        Raises:
            InvalidInput: nothing of the kind is there.
        """
        parts = _parts(path)
        here, rest = self._start(path, parts)
        for number, part in enumerate(rest, start=1):
            here = self._down(path, here, part, last=number == len(rest))
        if here.place[0] == "nodes" and len(here.place) < 3:
            raise InvalidInput(path, "a whole node", f"a field of it, such as {path}.params")
        return here.place

    def _start(self, path: str, parts: list[Step]) -> tuple[_Found, list[Step]]:
        head, rest = parts[0], parts[1:]
        if head == STEPS:
            return self._node(path, STEPS, rest, self._steps), rest[1:]
        if head == "nodes":
            return self._node(path, "nodes", rest, self._ids), rest[1:]
        if head in self._ids and to_camel(str(head)) not in self._whole:
            return self._node(path, "nodes", parts, self._ids), rest
        return _Found((), self._whole, ""), parts

    def _node(self, path: str, word: str, rest: list[Step], ids: list[str]) -> _Found:
        """The node that ``word[i]`` or ``word.id`` means."""
        which = rest[0] if rest else None
        if isinstance(which, int) and which < len(ids):
            which = ids[which]
        if which not in self._ids:
            found = word if which is None else word + _text(which)
            numbers = f"{word}[0] to {word}[{len(ids) - 1}]"
            expected = numbers if not isinstance(which, str) else f"the id of a node: {nearest(which, self._ids)}"
            raise InvalidInput(path, found, expected)
        index = self._ids.index(str(which))
        return _Found(("nodes", index), self._whole["nodes"][index], word + _text(rest[0]))

    def _down(self, path: str, here: _Found, part: Step, last: bool) -> _Found:
        place, value, done = here
        if isinstance(value, list):
            if not isinstance(part, int) or part >= len(value):
                expected = f"{done}[0] to {done}[{len(value) - 1}]" if value else f"{done} as a whole: it is empty"
                raise InvalidInput(path, done + _text(part), expected)
        elif not isinstance(value, dict):
            raise InvalidInput(path, f"{done}, which is {json.dumps(value)}", f"{done} itself: nothing is inside it")
        else:
            part = self._key(path, here, str(part), last)
        inside = value.get(part) if isinstance(value, dict) else value[part]
        return _Found((*place, part), inside, (done + _text(part)).lstrip("."))

    def _key(self, path: str, here: _Found, part: str, last: bool) -> str:
        place, value, done = here
        if part in value:
            return part
        if not _is_open(place) and to_camel(part) in value:
            return to_camel(part)
        known = self._known(place)
        if _is_open(place) and last and (known is None or part in known):
            return part
        names = [*value, *(known or ()), *((STEPS, *self._ids) if not place else ())]
        expected = f"something that is there: {nearest(part, names)}" if names else f"{done} as a whole: it is empty"
        raise InvalidInput(path, (done + _text(part)).lstrip("."), expected)

    def _known(self, place: Place) -> list[str] | None:
        """The params that the node type at a place has; ``None``: any may be there."""
        if len(place) != 3 or place[0] != "nodes" or place[2] != "params" or self._library is None:
            return None
        type_ = self._library.find(str(self._whole["nodes"][place[1]]["type"]))
        return None if type_ is None else list(type_.params)


def _text(part: Step) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if re.fullmatch(r'[^.\[\]"]+', part) else f"[{json.dumps(part, ensure_ascii=False)}]"


def _parts(path: str) -> list[Step]:
    """A path's names and indexes.

    Raises:
        InvalidInput: it is not one.
    """
    found: list[Step] = []
    text, end = f".{path}", 0
    while end < len(text):
        part = _PART.match(text, end)
        if part is None:
            raise InvalidInput("updates", path, _GOOD_PATH)
        if part["index"] is not None:
            found.append(int(part["index"]))
        else:
            found.append(json.loads(part["key"]) if part["key"] is not None else part["name"])
        end = part.end()
    return found
