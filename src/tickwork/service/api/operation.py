"""Operations: what a face can ask for. Each is declared once, as a function with ``@query`` or ``@command``.

    class RunsList(Args):
        status: str | None = Field(None, description="Only runs that are e.g. done, waiting, dead.")
        limit: Limit = 20

    @query("runs.list", "GET /runs", tool="runs_list")
    def runs_list(call: Call, args: RunsList) -> Page[RunLine]:
        "Runs, newest first."

A query that is a plain function reads the tape in a thread of its own, in one transaction, through ``call.queries``; a
coroutine runs on the loop, and asks the process that owns the tape (``await call.ask(verb, ...)``) or reads
(``await call.read(...)``). Commands are coroutines. The faces make routes, tools and documentation of the table.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from tickwork.core.event import complaints
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput
from tickwork.service.api.caller import Caller, Scope
from tickwork.service.api.plain import check_plain

T = TypeVar("T")

LIMIT_MAX: Final = 1_000

Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX, description="How many at most.")]
Cursor = Annotated[str | None, Field(max_length=200, description="`next` of the page before.")]


class Args(BaseModel):
    """The arguments of an operation: camelCase outside, snake_case is understood as well."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Nothing(Args):
    """No arguments."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Some of what there is, and where the rest begins."""

    items: list[T]
    next: str | None = None
    """The cursor of what follows; ``None``: there is no more."""


class Done(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was done to what."""

    id: str
    done: str


Ask = Callable[..., Awaitable[Any]]
Read = Callable[[Callable[[Queries], Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: who asks, and what answers."""

    caller: Caller
    key: str = ""
    """What makes the same call again the same call, if the caller gave something."""
    ask: Ask
    """``await ask(verb, /, **arguments)``: what the process that owns the tape is asked to do."""
    read: Read
    """``await read(function)``: a function of ``Queries``, in one transaction, in a thread of its own."""
    now: int
    """ns since 1970 UTC."""
    found: Queries | None = None

    @property
    def queries(self) -> Queries:
        """The tape, for an operation that is a plain function."""
        assert self.found is not None, "a coroutine reads with `await call.read(...)`"
        return self.found

    @property
    def owner(self) -> str:
        """Whose things are made and found, where something belongs to somebody."""
        return self.caller.owner or ""


Answering = Callable[[Call, Any], Any]
Unowned = Callable[[str, Any, Caller], Awaitable[Any]]
"""Of the tape's path, the arguments and who asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One command or query. Its summary is the first paragraph of the function's docstring."""

    name: str
    """Such as ``runs.list``: what ``tickwork call`` takes."""
    kind: Literal["query", "command"]
    method: str
    path: str
    """Below ``/api/v1``; parts in braces are fields of the arguments."""
    scope: Scope
    args: type[Args]
    result: Any
    """The type of what it answers."""
    answering: Answering
    summary: str
    description: str = ""
    tool: str = ""
    """Its name in MCP."""
    verb: str = ""
    """The verb of the command line that shows it to people, besides ``tickwork call``."""
    status: int = 200
    """Of an answer over HTTP."""
    again: Literal["same", "look"] = "same"
    """A command whose answer was lost with the process, and that is asked for again under its key: it may be done again
    because that changes nothing (``same``), or whoever asks must look (``look``)."""
    recorded: bool | Literal["keyed"] = True
    """Is a command told of on the tape? Not where what it does is itself a record that names its id. ``keyed``: only if
    it has a key, so that it is done once; what it does is a record of its own."""
    secret: bool = False
    """What it answers is shown once, and is not on the tape."""
    owned: bool = False
    """Does it heed whose things are whose? Others are not for callers that are bound to an owner."""
    account: str = ""
    """The field of the arguments that says which account it trades on; ``""`` there means all of them."""
    etag: str = ""
    """Where in the answer of a query that shows a document its version is, such as ``workflow.version``."""
    if_match: str = ""
    """The field of the arguments of a command that says which version of a document the caller knows."""
    unowned: Unowned | None = None
    """Does a command where no process has the tape open; ``None``: it takes one."""
    defines: bool = False
    """Does it say what runs, which may trade on any account? Then it is for callers that may trade all of them."""
    examples: tuple[dict[str, Any], ...] = ()
    """Arguments, as they are written."""
    in_path: tuple[str, ...] = field(default=())
    """The fields (in snake_case) that are part of the path."""

    def parse(self, given: object) -> Args:
        """The arguments.

        Raises:
            InvalidInput: a field is missing, unknown or wrong; the first of all. Or something that JSON does not have.
        """
        if not isinstance(given, dict):
            raise InvalidInput("arguments", given, "an object of the operation's fields")
        check_plain(given)
        try:
            return self.args.model_validate(given)
        except ValidationError as error:
            first = complaints(self.args, error)[0]
            path = first.path.removeprefix(f"{self.args.__name__}.")
            raise InvalidInput(path, first.found, first.expected) from None


_BRACES: Final = re.compile(r"\{(\w+)\}")

CATALOGUE: Final[dict[str, Operation]] = {}
"""Every operation, by name. Filled as ``service.operations.*`` are imported (``service.operations.all``)."""


def query(name: str, route: str, **options: Any) -> Callable[[Answering], Answering]:
    """Declare a query. ``route`` is method and path, such as ``GET /runs/{run}``; the rest: see ``Operation``."""
    return _declare("query", name, route, {"scope": "read", **options})


def command(name: str, route: str, **options: Any) -> Callable[[Answering], Answering]:
    """Declare a command; see ``query``. By default it needs the right to operate."""
    return _declare("command", name, route, {"scope": "operate", **options})


def _declare(
    kind: Literal["query", "command"], name: str, route: str, options: dict[str, Any]
) -> Callable[[Answering], Answering]:
    def declared(answering: Answering) -> Answering:
        method, _, path = route.partition(" ")
        hints = get_type_hints(answering, include_extras=True)
        args = hints["args"]
        summary, _, rest = inspect.cleandoc(answering.__doc__ or "").partition("\n\n")
        wires = {one.alias or known: known for known, one in args.model_fields.items()} | {
            known: known for known in args.model_fields
        }
        operation = Operation(
            name=name,
            kind=kind,
            method=method,
            path=path,
            args=args,
            result=hints["return"],
            answering=answering,
            summary=" ".join(summary.split()),
            description=rest,
            in_path=tuple(wires[part] for part in _BRACES.findall(path)),
            **{"tool": name.replace(".", "_"), **options},
        )
        assert name not in CATALOGUE, f"two operations are called {name}"
        assert kind == "query" or inspect.iscoroutinefunction(answering), f"the command {name} is no coroutine"
        CATALOGUE[name] = operation
        return answering

    return declared
