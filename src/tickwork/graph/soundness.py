"""Is a declaration of a node type one that can work? Asked by ``graph.declare``, when a module is imported."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from tickwork.errors import InvalidInput

if TYPE_CHECKING:
    from tickwork.graph.declare import NodeType, Param, Port

_MEANT: Final = frozenset({"input", "event", "trigger"})
"""What these mean in an expression is no node's."""

_REFUSED: Final = {
    inspect.Parameter.VAR_POSITIONAL: ("*", "input ports by name: what gathers several is port(help, many=True)"),
    inspect.Parameter.VAR_KEYWORD: ("**", "params by name, each with its type"),
    inspect.Parameter.POSITIONAL_ONLY: ("", "an argument that can be named, without a `/` behind it"),
}


def signature_of(path: str, fn: Any) -> inspect.Signature:
    """The arguments of a function that can be a node.

    Raises:
        InvalidInput: it is no function, or has arguments without a name of their own.
    """
    if not inspect.isfunction(fn):
        raise InvalidInput(path, repr(fn)[:200], "a function, plain or async")
    signature = inspect.signature(fn)
    for one in signature.parameters.values():
        if one.kind in _REFUSED:
            stars, expected = _REFUSED[one.kind]
            raise InvalidInput(f"{path} {stars}{one.name}", "an argument of this kind", expected)
    return signature


def hints_of(path: str, fn: Any) -> dict[str, Any]:
    """The types of a function's arguments.

    Raises:
        InvalidInput: an annotation that means nothing where the function is.
    """
    try:
        return typing.get_type_hints(fn, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        for name, told in fn.__annotations__.items():
            if isinstance(told, str) and not _means(told, fn):
                raise InvalidInput(f"{path} {name}", told, f"a type that its module knows ({error})") from None
        raise InvalidInput(path, str(error), "annotations that its module knows") from None


def _means(annotation: str, fn: Any) -> bool:
    probe = type("probe", (), {"__annotations__": {"it": annotation}})
    try:
        typing.get_type_hints(probe, fn.__globals__)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return False
    return True


def adapter_of(path: str, hint: Any) -> TypeAdapter[Any]:
    """What reads values of a type.

    Raises:
        InvalidInput: nothing can, or a constraint that values of it cannot have.
    """
    try:
        return TypeAdapter(hint)
    except (PydanticUserError, TypeError, ValueError) as error:
        told = str(error).partition("\n")[0][:200]
        raise InvalidInput(path, str(hint), f"a type of values that documents can say ({told})") from None


def check_words(path: str, name: str, words: Any) -> None:
    """
    Raises:
        InvalidInput: no tuple of texts.
    """
    if not isinstance(words, tuple) or not all(isinstance(one, str) for one in words):
        raise InvalidInput(f"{path} {name}", repr(words)[:200], "a tuple of texts, such as ('one', 'other')")


def check_type(path: str, type: NodeType, keyed: bool) -> None:
    """What the parts of a declaration must be to each other.

    Args:
        keyed: has the function an argument ``key``?

    Raises:
        InvalidInput: one that the others exclude.
    """
    effect = type.kind == "effect"
    if keyed and not effect:
        raise InvalidInput(f"{path} key", "on no effect", "a keyword argument `key` on effects, and only there")
    if effect and not keyed:
        raise InvalidInput(f"{path} key", "nothing", "a keyword argument `key` on effects, and only there")
    if type.kind == "verbs" and not inspect.iscoroutinefunction(type.fn):
        raise InvalidInput(f"{path} run", "a plain function", "`async def`: the verbs of a Run are awaited")
    if type.lookup is not None:
        _check_lookup(path, type.lookup, effect=effect)
    for port in type.inputs.values():
        _check_input(path, port)
    if "input" in type.outputs:
        raise InvalidInput(f"{path} returns", "input", "another name for the port: it means what a node was given")
    _check_params(path, type.params)
    for name, others in type.from_event.items():
        for one in (name, *others):
            if one not in type.params and one not in type.inputs:
                raise InvalidInput(f"{path} from_event", one, "an input or a param of it")


def check_verbs(path: str, *, effect: bool) -> None:
    """
    Raises:
        InvalidInput: a function with verbs of its own that is declared as an effect.
    """
    if effect:
        raise InvalidInput(f"{path} effect", True, "no effect=True beside a Run: it asks `run.effect` itself")


def _check_lookup(path: str, lookup: Any, *, effect: bool) -> None:
    if not effect:
        raise InvalidInput(f"{path} lookup", "on no effect", "effect=True, or no lookup: a step is just done again")
    if not callable(lookup):
        raise InvalidInput(f"{path} lookup", repr(lookup)[:200], "a function, lookup(key, ...)")
    first = next(iter(inspect.signature(lookup).parameters.values()), None)
    if first is None or first.name != "key" or first.kind is inspect.Parameter.KEYWORD_ONLY:
        found = "nothing" if first is None else first.name
        raise InvalidInput(f"{path} lookup", found, "`key` as the first argument of the look-up")


def _check_input(path: str, port: Port) -> None:
    if port.name in _MEANT:
        expected = f"another name: in a document's expressions {port.name!r} means what the run or the node was given"
        raise InvalidInput(f"{path} {port.name}", port.name, expected)
    kinds = (port.type, *(get_args(port.type) if get_origin(port.type) in (typing.Union, UnionType) else ()))
    if port.many and not any(one is Any or list in (one, get_origin(one)) for one in kinds):
        raise InvalidInput(f"{path} {port.name}", str(port.type), "a list: with many=True it gets one")


def _check_params(path: str, params: dict[str, Param]) -> None:
    taken = dict.fromkeys(params, "")
    for name, one in params.items():
        for alias in one.aliases:
            if alias in taken:
                whose = taken[alias] or alias
                raise InvalidInput(f"{path} {name}", alias, f"an alias that the param {whose!r} has not taken")
            taken[alias] = name
        if not one.required:
            _check_default(path, one)


def _check_default(path: str, one: Param) -> None:
    try:
        one.read(one.default, f"{path} {one.name}")
    except InvalidInput as error:
        raise InvalidInput(error.path, f"the default {one.default!r}", str(error.expected)) from None


def undone_by_unknown(types: Iterable[NodeType], names: Iterable[str]) -> None:
    """
    Raises:
        InvalidInput: a type that names, as what takes it back, one that there is not.
    """
    known = set(names)
    for one in types:
        if one.undo and one.undo not in known:
            raise InvalidInput(f"@node({one.name!r}) undo", one.undo, "a node type of the library")
