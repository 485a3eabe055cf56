"""Faults on demand: data that says when something goes wrong, and what.

A ``Fault`` is a kind, a route, and when: every call, the nth, at most so often, with a probability, within a time. One
``Faults`` holds those that are set, decides for each request with its seeded random numbers, and counts what it did.

=============== ============== ======================================================================================
kind            stage          what happens
=============== ============== ======================================================================================
drop_before     before         the connection ends; the request was never looked at
error_before    before         ``status`` (default 500); the request was never looked at
forbidden       before         403 with a page, as a web application firewall answers
rate_limit      before         429 with ``Retry-After: seconds``
ban             before         418 with ``Retry-After``, and so is every call of the next ``seconds``
maintenance     before         503 with a page, and so is every call of the next ``seconds``
late            before         the request reaches the exchange ``seconds`` later, and is judged by the clock of then
not_found       instead        a query or a cancel of one order says that there is none
lag             while          after a create, the ``views`` do not know of the order for ``seconds``
partial         while          a create trades at once with the market maker at most ``fraction`` of its size
cancel_race     while          before the cancel, ``fraction`` of the order fills; it is answered ``ok`` or ``unknown``
cancel_late     while          the cancel is acknowledged, and done ``seconds`` later (the order may fill until then)
stale           while          a query answers with the state of ``seconds`` ago
drop_after      after          the request is processed, and the connection ends without an answer
stall           after          the request is processed; the answer comes ``seconds`` later
error_after     after          the request is processed; the answer is ``status`` (default 502)
nonsense        after          the request is processed; the answer is of ``shape``
=============== ============== ======================================================================================

Of the faults that fit a call, the first of each stage is done; one of stage "before" rules out the others. A call that
a fault fits and that gives it nothing to do (a race with the fill of an order that is filled) counts for ``nth`` and
``times`` and not in ``counts``.

Why these: MEXC says of 5xx that the execution status is unknown and could have been a success
(mexc.com/api-docs/spot-v3/general-info); answers "order does not exist" for orders just made (ccxt issue 21614); 429
and 418 with ``Retry-After`` are Binance's (developers.binance.com, "HTTP Return Codes" and "IP Limits").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from random import Random
from typing import Any, Final, Literal, get_args

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.orders import VIEWS, View
from tickwork.values import MAX_NS, NS_PER_SECOND, money

Kind = Literal[
    "drop_before",
    "error_before",
    "forbidden",
    "rate_limit",
    "ban",
    "maintenance",
    "late",
    "not_found",
    "lag",
    "partial",
    "cancel_race",
    "cancel_late",
    "stale",
    "drop_after",
    "stall",
    "error_after",
    "nonsense",
]
Shape = Literal["html", "truncated", "strings", "numbers", "types", "empty", "null"]
"""Of an answer: a page; JSON cut in half; numbers as texts; texts as numbers; values of other types; ``[]`` or ``{}``;
``null``."""
Stage = Literal["before", "late", "instead", "while", "after"]

STAGES: Final[Mapping[Kind, Stage]] = {
    "drop_before": "before",
    "error_before": "before",
    "forbidden": "before",
    "rate_limit": "before",
    "ban": "before",
    "maintenance": "before",
    "late": "late",
    "not_found": "instead",
    "lag": "while",
    "partial": "while",
    "cancel_race": "while",
    "cancel_late": "while",
    "stale": "while",
    "drop_after": "after",
    "stall": "after",
    "error_after": "after",
    "nonsense": "after",
}
ROUTES: Final = (
    "ping",
    "time",
    "info",
    "symbols",
    "depth",
    "trades",
    "klines",
    "ticker",
    "account",
    "currencies",
    "restrictions",
    "contracts",
    "order.create",
    "order.test",
    "order.query",
    "order.cancel",
    "orders.cancel",
    "orders.open",
    "orders.history",
    "orders.trades",
)
"""The names of what can be asked, the same for every venue."""
_ON: Final[Mapping[Kind, str]] = {
    "lag": "order.create",
    "partial": "order.create",
    "cancel_race": "order.cancel",
    "cancel_late": "order.cancel",
    "stale": "order.query",
    "not_found": "order.query",
}
"""Where a kind makes sense, for whoever names no route."""


def _routes(on: str) -> frozenset[str]:
    names: set[str] = set()
    for part in on.split(","):
        name = part.strip()
        found = {route for route in ROUTES if route == name or (name.endswith("*") and route.startswith(name[:-1]))}
        if not found:
            raise InvalidInput("fault.on", name, f"'*', a beginning such as 'order.*', or some of {', '.join(ROUTES)}")
        names |= found
    return frozenset(names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, and when.

    Raises:
        InvalidInput: an unknown kind, route, view or shape, or a number out of its range.
    """

    kind: Kind
    on: str = ""
    """Routes of ``ROUTES``, by commas: ``order.create``, ``order.*``, ``*``. "" is where the kind makes sense."""
    nth: int | None = None
    """Only the nth call that fits, from 1."""
    times: int | None = None
    """At most so many times."""
    probability: float = 1.0
    since: int = 0
    """Not before this time, in ns."""
    until: int = MAX_NS
    client_id: str | None = None
    """Only calls that name this client id; with ``*`` at its end, one that begins so."""
    symbol: str | None = None
    """Only calls in this market, by the venue's id or as ccxt writes it."""
    seconds: float = 5.0
    status: int = 0
    """HTTP status; 0 is the kind's own."""
    fraction: Decimal = Decimal("0.5")
    views: tuple[View, ...] = VIEWS
    shape: Shape = "html"
    answer: Literal["ok", "unknown"] = "ok"

    def __post_init__(self) -> None:
        if self.kind not in STAGES:
            raise InvalidInput("fault.kind", self.kind, f"one of {', '.join(STAGES)}")
        _routes(self.routes_text)
        if self.shape not in get_args(Shape):
            raise InvalidInput("fault.shape", self.shape, f"one of {', '.join(get_args(Shape))}")
        if self.answer not in ("ok", "unknown"):
            raise InvalidInput("fault.answer", self.answer, "'ok' or 'unknown'")
        if not set(self.views) <= set(VIEWS):
            raise InvalidInput("fault.views", self.views, f"some of {', '.join(VIEWS)}")
        if not 0 <= self.probability <= 1:
            raise InvalidInput("fault.probability", self.probability, "0 to 1")
        if not 0 <= self.seconds <= 1e6:
            raise InvalidInput("fault.seconds", self.seconds, "0 to 1,000,000")
        if not 0 <= money(self.fraction, "fault.fraction") <= 1:
            raise InvalidInput("fault.fraction", self.fraction, "0 to 1")

    @property
    def routes_text(self) -> str:
        """Where it applies."""
        return self.on or _ON.get(self.kind, "*")

    @property
    def ns(self) -> int:
        """``seconds`` in ns."""
        return int(self.seconds * NS_PER_SECOND)

    def fits(self, client_id: str | None, symbol: str | None) -> bool:
        """Whether a call that names these is meant."""
        if self.symbol is not None and self.symbol.replace("/", "") != symbol:
            return False
        if self.client_id is None:
            return True
        if client_id is None:
            return False
        begins = self.client_id.endswith("*")
        return client_id.startswith(self.client_id[:-1]) if begins else client_id == self.client_id


_CAMEL: Final = {"client_id": "clientId"}
_FIELDS: Final = {_CAMEL.get(field.name, field.name): field.name for field in fields(Fault)}


def fault_from(data: Mapping[str, Any]) -> Fault:
    """A fault of its JSON: the fields of ``Fault`` in camelCase, ``fraction`` as a text.

    Raises:
        InvalidInput: a field that does not exist, one that is not what it should be, or no ``kind``.
    """
    given: dict[str, Any] = {}
    for name, value in data.items():
        if name not in _FIELDS:
            raise InvalidInput(f"fault.{name}", value, f"one of {', '.join(_FIELDS)}")
        given[_FIELDS[name]] = value
    if "kind" not in given:
        raise InvalidInput("fault.kind", "nothing", f"one of {', '.join(STAGES)}")
    if "views" in given:
        given["views"] = tuple(given["views"])
    if "fraction" in given:
        given["fraction"] = money(given["fraction"], "fault.fraction")
    try:
        return Fault(**given)
    except TypeError as error:
        raise InvalidInput("fault", dict(data), f"values of the right types ({error})") from None


class Fired:
    """What goes wrong with one call."""

    __slots__ = ("after", "before", "during", "instead", "late")

    def __init__(self) -> None:
        self.before: Fault | None = None
        self.late: Fault | None = None
        self.instead: Fault | None = None
        self.during: dict[Kind, Fault] = {}
        self.after: Fault | None = None


NOTHING: Final = Fired()


class _Set:
    """A fault that is set, and how often it was met."""

    __slots__ = ("done", "fault", "met", "number", "routes")

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.routes = _routes(fault.routes_text)
        self.met = 0
        self.done = 0


class Faults:
    """The faults that are set.

    Args:
        seed: of the random numbers that ``probability`` asks for.
        plan: faults to begin with.
    """

    def __init__(self, seed: int | str = 0, plan: Iterable[Fault] = ()) -> None:
        self._random = Random(seed)
        self._set: list[_Set] = []
        self._added = 0
        self.counts: Counter[Kind] = Counter()
        """How often each kind was done."""
        self.banned_until = 0
        """ns since 1970 UTC."""
        self.down_until = 0
        for fault in plan:
            self.add(fault)

    def add(self, fault: Fault) -> int:
        """Set a fault; returns its number."""
        self._added += 1
        self._set.append(_Set(self._added, fault))
        self._set.sort(key=lambda one: STAGES[one.fault.kind] != "before")  # they rule out what else would be done
        return self._added

    def remove(self, number: int) -> None:
        """Take a fault back; one that is not set is none to take back."""
        self._set = [one for one in self._set if one.number != number]

    def clear(self) -> None:
        """Take all back, bans and maintenance too; counts stay."""
        self._set = []
        self.banned_until = self.down_until = 0

    def faults(self) -> dict[int, Fault]:
        """Those that are set, by number."""
        return {one.number: one.fault for one in self._set}

    def fire(self, route: str, now: int, client_id: str | None, symbol: str | None) -> Fired:
        """What goes wrong with a call. Those of stage "while" and "instead" are counted by who does them: ``did``."""
        if not self._set:
            return NOTHING
        fired = NOTHING
        for one in self._set:
            fault = one.fault
            if route not in one.routes or not fault.since <= now < fault.until or not fault.fits(client_id, symbol):
                continue
            one.met += 1
            if (fault.nth is not None and one.met != fault.nth) or (
                fault.times is not None and one.done >= fault.times
            ):
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if fired is NOTHING:
                fired = Fired()
            if self._put(fired, fault):
                one.done += 1
            if fired.before is not None:
                return fired
        return fired

    def did(self, kind: Kind) -> None:
        """Count a fault that was done."""
        self.counts[kind] += 1

    @staticmethod
    def _put(fired: Fired, fault: Fault) -> bool:
        """Take a fault into a call; whether there was room for it."""
        stage = STAGES[fault.kind]
        if stage == "before":
            fired.before = fault
        elif stage == "while":
            return fired.during.setdefault(fault.kind, fault) is fault
        elif getattr(fired, stage) is None:
            setattr(fired, stage, fault)
        else:
            return False
        return True


def storm(rate: float = 0.02, seconds: float = 3.0) -> list[Fault]:
    """A bit of everything, each on ``rate`` of the calls that it may hit: what a checker should survive.

    Args:
        seconds: of lags, stalls, late arrivals and bans; choose it around the client's own waiting times.
    """
    plan = [
        Fault(kind="drop_before", probability=rate),
        Fault(kind="error_before", status=503, probability=rate),
        Fault(kind="rate_limit", seconds=1, probability=rate / 2),
        Fault(kind="ban", seconds=min(seconds, 2), probability=rate / 20),
        Fault(kind="maintenance", seconds=min(seconds, 2), probability=rate / 20),
        Fault(kind="late", on="order.create,order.cancel", seconds=seconds, probability=rate),
        Fault(kind="not_found", on="order.query,order.cancel", probability=rate),
        Fault(kind="lag", seconds=seconds, probability=rate * 2),
        Fault(kind="lag", seconds=seconds, views=("order", "history"), probability=rate * 2),
        Fault(kind="lag", seconds=seconds, views=("trades",), probability=rate * 2),
        Fault(kind="partial", fraction=Decimal("0.5"), probability=rate * 3),
        Fault(kind="cancel_race", answer="ok", fraction=Decimal(1), probability=rate * 2),
        Fault(kind="cancel_race", answer="unknown", fraction=Decimal(1), probability=rate * 2),
        Fault(kind="cancel_race", answer="ok", fraction=Decimal("0.5"), probability=rate * 2),
        Fault(kind="cancel_late", seconds=seconds, probability=rate),
        Fault(kind="stale", seconds=seconds, probability=rate),
        Fault(kind="drop_after", probability=rate),
        Fault(kind="stall", seconds=seconds, probability=rate),
        Fault(kind="error_after", status=502, probability=rate),
    ]
    shapes: tuple[Shape, ...] = get_args(Shape)
    plan += [Fault(kind="nonsense", shape=shape, probability=rate / len(shapes)) for shape in shapes]
    return plan
