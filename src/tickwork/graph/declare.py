"""Node types: a function and a decorator.

    class Spread(msgspec.Struct, frozen=True):
        spread: Annotated[Decimal, port("dearest bid over cheapest ask, a fraction")]

    @node("spread", category="analysis")
    def spread(
        bid: Annotated[Decimal, port("best bid")],
        ask: Annotated[Decimal, port("best ask")],
        *,
        fee_rate: Annotated[Decimal, param("of each side", unit="fraction", ge=0, lt=1)] = Decimal("0.001"),
    ) -> Spread:
        \"\"\"What selling at the bid and buying at the ask leaves.\"\"\"

Arguments before the ``*`` are input ports, those after it are params, by annotation:

* ``Annotated[T, port(help)]``: an input; one with a default may stay unconnected; ``port(help, many=True)`` gathers
  what several edges bring into a list; ``port(help, lone=True)``, of one with a default, takes the only output of the
  only node before it even so.
* ``Annotated[T, param(help, unit=, aliases=, ge=, ...)]``: a setting of the document.
* ``Annotated[bool, test(help)]``, ``Annotated[Any, formula(help)]``: a setting that holds an expression
  (``core.expressions``); the function gets its value.
* a class with a ``source_name`` (``graph.sources``): what the installation provides; a document that uses the node
  where it is not configured is refused. ``X | None`` where the node can do without.
* ``Context``: the run and what started it.

The fields of the returned struct are the output ports; a function that returns a plain value says ``output="name"``. A
node with ``branches`` returns a struct with a field ``branch`` that says which of them is taken; with ``more_branches``
it has others besides, which its params name.

A plain or async function is a *step*: it reads or computes. With ``effect=True`` it touches the outside world, takes
``key`` and runs as an effect. A function whose first argument is a ``Run`` asks verbs of its own, as a body does.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from pydantic import Field, TypeAdapter
from pydantic.fields import FieldInfo

from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.soundness import adapter_of, check_type, check_verbs, check_words, hints_of, signature_of
from tickwork.graph.wording import validated

Kind = Literal["step", "effect", "verbs"]
Expressed = Literal["", "test", "formula"]
F = TypeVar("F", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MISSING: Final = inspect.Parameter.empty
BRANCH: Final = "branch"


@dataclass(frozen=True, slots=True)
class _Port:
    help: str
    many: bool = False
    lone: bool = False


@dataclass(frozen=True, slots=True)
class _Expression:
    help: str
    kind: Expressed


def port(help: str, *, many: bool = False, lone: bool = False) -> Any:
    """Marks an input or an output port.

    Args:
        many: it takes any number of edges and gets a list.
        lone: though it has a default, it is the port that an edge without a name is meant for.
    """
    return _Port(help, many, lone)


def param(help: str, *, unit: str = "", aliases: tuple[str, ...] = (), **constraints: Any) -> Any:
    """Marks a param.

    Args:
        unit: what its number counts.
        aliases: other names that documents may say.
        constraints: pydantic's, such as ``ge=0``.
    """
    extra: dict[str, Any] = {"unit": unit} if unit else {}
    if aliases:
        extra["aliases"] = list(aliases)
    return Field(description=help, json_schema_extra=extra or None, **constraints)


def test(help: str) -> Any:
    """Marks a param whose text is a condition; the function gets true or false."""
    return _Expression(help, "test")


def formula(help: str) -> Any:
    """Marks a param whose text is an expression; the function gets its value."""
    return _Expression(help, "formula")


@dataclass(frozen=True, slots=True)
class Context:
    """What a node may know of its run."""

    document: str
    node: str
    run: str
    owner: str
    event: Any
    """What started the run: an event, or the input it was given."""
    trigger: str
    """The kind of what started it: ``manual`` or e.g. ``price_change``."""
    now: int
    """ns since 1970 UTC."""
    undoing: str = ""
    """The id of the node that this one takes back; nothing where it runs in its own place in the graph."""
    watched: tuple[str, ...] = ()
    """The symbols that the document's triggers name."""
    tenant: str = ""
    """The owner whose queues, breakers and events the document names; nothing: the installation (``graph.tenants``)."""

    def given(self, name: str) -> Any:
        """A field of what started the run; ``None`` where it has none of that name."""
        event = self.event
        if isinstance(event, Mapping):
            return event.get(name)
        if name == "symbol" and getattr(event, "measure", "") == "index":
            return None  # an index that rose is not what the run is about
        return getattr(event, name, None) if name in getattr(type(event), "model_fields", ()) else None

    def symbols(self, declared: list[str] | None) -> list[str]:
        """What the run is about: the symbols (or the symbol) it was given, else those of the node's params, else those
        that the document's triggers watch.

        Raises:
            InvalidInput: nobody says.
        """
        given = self.given("symbols") or self.given("symbol")
        found = [given] if isinstance(given, str) else list(given or declared or self.watched)
        if not found:
            expected = "symbols in the node's params, or a symbol in what starts the run"
            raise InvalidInput(f"{self.node}.symbols", "none", expected)
        return found


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output port."""

    name: str
    type: Any
    help: str = ""
    many: bool = False
    default: Any = _MISSING
    lone: bool = False
    """Does it take an edge without a name although it has a default?"""

    @property
    def required(self) -> bool:
        """Must something be connected?"""
        return self.default is _MISSING

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        kept: dict[str, Any] = {"description": self.help} if self.help else {}
        return {**_schema_of(self.type), **kept}


@dataclass(frozen=True, slots=True)
class Param:
    """A setting."""

    name: str
    adapter: TypeAdapter[Any]
    help: str
    unit: str = ""
    expression: Expressed = ""
    default: Any = _MISSING
    aliases: tuple[str, ...] = ()
    """Other names that documents may say."""

    @property
    def required(self) -> bool:
        """Must the document say it?"""
        return self.default is _MISSING

    def read(self, value: Any, path: str) -> Any:
        """A value of the document as the function takes it.

        Raises:
            InvalidInput: it is not one.
        """
        return validated(self.adapter, value, path)

    def schema(self) -> dict[str, Any]:
        """Its JSON Schema."""
        if self.expression:
            return {"type": "string", "description": f"{self.help} (an expression)"}
        schema = self.adapter.json_schema()
        if not self.required:
            schema["default"] = msgspec.to_builtins(self.default)
        return schema


@dataclass(frozen=True, slots=True)
class Need:
    """A source that a function takes."""

    argument: str
    source: str
    """Its name in ``Sources``."""
    optional: bool


@dataclass(frozen=True, slots=True)
class NodeType:
    """A node type as declared."""

    name: str
    category: str
    help: str
    fn: Callable[..., Any]
    kind: Kind
    inputs: dict[str, Port]
    params: dict[str, Param]
    outputs: dict[str, Port]
    needs: tuple[Need, ...]
    context: str
    """The argument that takes the ``Context``, or nothing."""
    output: str
    """The one port of a function that returns a plain value, or nothing."""
    open: bool
    """May it have outputs that nobody declared?"""
    branches: tuple[str, ...]
    aliases: tuple[str, ...]
    undo: str
    """The type that takes it back, where the document names none."""
    lookup: Callable[..., Any] | None
    check: Callable[..., str | None] | None
    """``check(params, sources)``: what is wrong with these params here, or nothing."""
    more_branches: Callable[[Mapping[str, Any]], Iterable[str]] | None
    one_of: tuple[str, ...] = ()
    """Params of which a document says one at most."""
    calls: str = ""
    """The param that names a workflow which the node calls, by name or id; or nothing."""
    from_event: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Params and inputs that it cannot do without and that what starts a run may say; each with others that do."""
    outcome: Recorder | None = None
    """Of a type with verbs of its own: the step that holds what it returned."""

    def param(self, name: str) -> Param | None:
        """The param of a name or an alias."""
        found = self.params.get(name)
        return found or next((one for one in self.params.values() if name in one.aliases), None)

    def branches_of(self, params: Mapping[str, Any]) -> tuple[str, ...]:
        """The branches of a node with these params, as the document has them."""
        more = self.more_branches(params) if self.more_branches else ()
        return tuple(dict.fromkeys((*self.branches, *more)))

    def fields(self, value: Any) -> dict[str, Any]:
        """What a function returned, by output port."""
        if self.output:
            return {self.output: value}
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, msgspec.Struct):
            return {name: getattr(value, field) for field, name in _struct_fields(type(value))}
        return {} if value is None else {"result": value}

    def schema(self) -> dict[str, Any]:
        """What the library publishes of it."""
        params = {name: setting.schema() for name, setting in self.params.items()}
        others = {other: name for name, setting in self.params.items() for other in setting.aliases}
        params |= {other: params[name] | {"description": f"Another word for {name}."} for other, name in others.items()}
        # one that has another name may stand under that
        needed = [name for name, setting in self.params.items() if setting.required and not setting.aliases]
        return {
            "type": self.name,
            "category": self.category,
            "help": self.help,
            "aliases": list(self.aliases),
            "inputs": {name: one.schema() | {"required": one.required} for name, one in self.inputs.items()},
            "params": {"type": "object", "properties": params, "required": needed, "additionalProperties": False},
            "outputs": {name: one.schema() for name, one in self.outputs.items()},
            "branches": list(self.branches),
            "needs": [need.source for need in self.needs if not need.optional],
        }


class Recorder:
    """A step that returns what it is given, typed as a function's result is."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.__module__ = fn.__module__
        self.__qualname__ = fn.__qualname__
        self.__annotations__ = {"return": typing.get_type_hints(fn, include_extras=True).get("return", Any)}

    def __call__(self, value: Any) -> Any:
        return value


DECLARED: Final[dict[str, NodeType]] = {}
"""Every node type that this process has declared, by name; ``graph.library`` says which of them a document may use."""


def node(
    name: str,
    *,
    category: str,
    effect: bool = False,
    output: str = "",
    branches: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    undo: str = "",
    lookup: Callable[..., Any] | None = None,
    check: Callable[..., str | None] | None = None,
    more_branches: Callable[[Mapping[str, Any]], Iterable[str]] | None = None,
    one_of: tuple[str, ...] = (),
    calls: str = "",
    from_event: Mapping[str, tuple[str, ...]] | None = None,
) -> Callable[[F], F]:
    """Declare a node type; see the module's text.

    Args:
        name: what documents say, lower case with underscores.
        category: under which the library shows it.
        aliases: other names that documents may say.
        undo: the type that takes it back by default.
        lookup: of an effect, ``lookup(key, ...)``: what became of one whose outcome is unknown.
        check: ``check(params, sources)``, asked when a document is checked: what is wrong with it, or nothing. May
            raise ``InvalidInput`` of a param.
        more_branches: ``more_branches(params)``: branches that the params of a document name, which are as the document
            has them and may be wrong.
        one_of: params that exclude each other.
        calls: the param that names, by name or id, a workflow that the node calls.
        from_event: params or inputs that the node cannot do without and else takes from what starts the run, each with
            the others that make up for it: ``{"side": ("signal",)}``. A document that says none of them gets a warning.

    Raises:
        InvalidInput: a wrong name, or an argument that is none of the above. An ``undo`` that there is not is found by
            ``graph.library``, when all types are known.
    """

    def declare(fn: F) -> F:
        for told, words in (("aliases", aliases), ("branches", branches), ("one_of", one_of)):
            check_words(f"@node({name!r})", told, words)
        for one in (name, *aliases):
            if not isinstance(one, str) or not _NAME.fullmatch(one):
                raise InvalidInput("@node(name)", one, "lower case letters, digits and underscores, at most 64")
        found = _Reading(name, fn).type(
            category=category, effect=effect, output=output, branches=branches, aliases=aliases, undo=undo,
            lookup=lookup, check=check, more_branches=more_branches, one_of=one_of, calls=calls,
            from_event=from_event or {},
        )  # fmt: skip
        known = DECLARED.get(name)
        if known is not None and known.fn is not fn and known.fn.__module__ != fn.__module__:
            raise InvalidInput("@node(name)", name, f"a name that {known.fn.__module__} has not taken")
        DECLARED[name] = found
        return fn

    return declare


class _Reading:
    """Reads a function's signature."""

    def __init__(self, name: str, fn: Callable[..., Any]) -> None:
        self.path = f"@node({name!r})"
        self.name = name
        self.fn = fn
        self.inputs: dict[str, Port] = {}
        self.params: dict[str, Param] = {}
        self.needs: list[Need] = []
        self.context = ""
        self.verbs = False
        self.keyed = False
        self.signature = signature_of(self.path, fn)
        self.hints = hints_of(self.path, fn)

    def type(self, *, category: str, effect: bool, output: str, branches: tuple[str, ...], **kept: Any) -> NodeType:
        for index, one in enumerate(self.signature.parameters.values()):
            self._argument(index, one)
        outputs, open_ = self._outputs(output)
        if branches and BRANCH not in outputs:
            raise InvalidInput(f"{self.path} branches", branches, f"a returned struct with a field {BRANCH!r}")
        if not self.params.keys() >= set(kept["one_of"]):
            raise InvalidInput(f"{self.path} one_of", kept["one_of"], f"params of it: {', '.join(self.params)}")
        if kept["calls"] and kept["calls"] not in self.params:
            raise InvalidInput(f"{self.path} calls", kept["calls"], f"a param of it: {', '.join(self.params)}")
        help_ = (inspect.getdoc(self.fn) or "").partition("\n")[0]
        if not help_:
            raise InvalidInput(self.path, "no docstring", "a first line that says what the node does")
        if self.verbs:
            check_verbs(self.path, effect=effect)
        found = NodeType(
            self.name, category, help_, self.fn, "verbs" if self.verbs else "effect" if effect else "step",
            self.inputs, self.params, outputs, tuple(self.needs), self.context, output, open_, branches, **kept,
            outcome=Recorder(self.fn) if self.verbs else None,
        )  # fmt: skip
        check_type(self.path, found, self.keyed)
        return found

    def _argument(self, index: int, one: inspect.Parameter) -> None:
        hint = self.hints.get(one.name, Any)
        bare, marks = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
        if one.kind is not inspect.Parameter.KEYWORD_ONLY:
            if index == 0 and bare is Run:
                self.verbs = True
                return
            mark = next((mark for mark in marks if isinstance(mark, _Port)), _Port(""))
            self.inputs[one.name] = Port(one.name, bare, mark.help, mark.many, one.default, mark.lone)
        elif one.name == "key":
            self.keyed = True
        elif bare is Context:
            self.context = one.name
        elif (source := _source_of(bare)) is not None:
            self.needs.append(Need(one.name, source, bare != _required(bare)))
        else:
            self.params[one.name] = self._param(one, hint, bare, marks)

    def _param(self, one: inspect.Parameter, hint: Any, bare: Any, marks: tuple[Any, ...]) -> Param:
        expression = next((mark for mark in marks if isinstance(mark, _Expression)), None)
        if expression is not None:
            adapter = adapter_of(f"{self.path} {one.name}", bare)
            return Param(one.name, adapter, expression.help, "", expression.kind, one.default)
        told = next((mark for mark in marks if isinstance(mark, FieldInfo)), None)
        if told is None or not told.description:
            expected = "Annotated[type, param(help)]; inputs come before the `*`"
            raise InvalidInput(f"{self.path} {one.name}", str(hint), expected)
        extra: dict[str, Any] = dict(told.json_schema_extra) if isinstance(told.json_schema_extra, dict) else {}
        unit, aliases = str(extra.get("unit", "")), tuple(extra.get("aliases", ()))
        adapter = adapter_of(f"{self.path} {one.name}", hint)
        return Param(one.name, adapter, told.description, unit, "", one.default, aliases)

    def _outputs(self, output: str) -> tuple[dict[str, Port], bool]:
        returned = self.hints.get("return", Any)
        bare = get_args(returned)[0] if get_origin(returned) is Annotated else returned
        if output:
            return {output: _output(output, returned)}, False
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            return {name: _output(name, type_) for name, type_ in _typed_fields(bare)}, False
        if bare in (None, NoneType):
            return {}, False
        if get_origin(bare) is dict or bare is dict:
            return {}, True
        expected = "a msgspec.Struct, a dict, None, or another type with @node(output=<its port>)"
        raise InvalidInput(f"{self.path} returns", str(bare), expected)


def _output(name: str, hint: Any) -> Port:
    bare, marks = (get_args(hint)[0], get_args(hint)[1:]) if get_origin(hint) is Annotated else (hint, ())
    mark = next((mark for mark in marks if isinstance(mark, _Port)), _Port(""))
    return Port(name, bare, mark.help)


def _typed_fields(struct: type[msgspec.Struct]) -> list[tuple[str, Any]]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return [(name, hints[field]) for field, name in _struct_fields(struct)]


_fields_of: dict[type, tuple[tuple[str, str], ...]] = {}


def _struct_fields(struct: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Attribute and wire name of each field."""
    found = _fields_of.get(struct)
    if found is None:
        pairs = tuple((field.name, field.encode_name) for field in msgspec.structs.fields(struct))
        found = _fields_of[struct] = pairs
    return found


def _required(hint: Any) -> Any:
    """The type without ``None``."""
    if get_origin(hint) in (typing.Union, UnionType):
        left = [one for one in get_args(hint) if one is not NoneType]
        return left[0] if len(left) == 1 else hint
    return hint


def _source_of(hint: Any) -> str | None:
    name = getattr(_required(hint), "source_name", None)
    return name if isinstance(name, str) else None


def _schema_of(type_: Any) -> dict[str, Any]:
    if type_ is Any:
        return {}
    try:
        return msgspec.json.schema(type_)
    except TypeError:
        return TypeAdapter(type_).json_schema()
