"""Trading builds made wrong on purpose. A harness that lets one of them pass proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from tests.chaos import mutations


@dataclass(frozen=True)
class Plant:
    """One wrong build."""

    name: str
    says: str
    apply: Callable[[], None]
    shows: tuple[str, ...]
    """The checks of which one must fail: a build that merely does not run has not been caught."""
    faults: tuple[str, ...] = ()
    """Kinds of faults in which it shows soon; empty: any."""
    points: tuple[str, ...] = ()
    """Where to kill it to see it soon; empty: anywhere."""
    kinds: tuple[str, ...] = ()
    """Work to give it; empty: any."""
    pulls: bool = False
    """Pull the halt in every life."""

    def shown(self, failures: list[str]) -> bool:
        """Has it been caught?"""
        return any(f"{check}:" in failure for check in self.shows for failure in failures)


def _no_grace() -> None:
    from tickwork.trading.venue import Capabilities

    Capabilities.grace = property(lambda self: timedelta(0))  # type: ignore[method-assign, assignment]


def _ccxt_retries() -> None:
    """ccxt's own retries, and nothing that holds the second request back."""
    from tickwork.venues.ccxt import session, wire

    inner = session.Session._made

    def made(self: Any) -> Any:
        exchange = inner(self)
        exchange.options["maxRetriesOnFailure"] = 2
        exchange.options["maxRetriesOnFailureDelay"] = 50
        return exchange

    def fetches(exchange: Any) -> None:
        ask = exchange.fetch

        async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            call = wire._CALL.get()
            if call is not None:
                call.sent, call.status, call.answer, call.headers = True, None, None, {}
            return await ask(url, method, headers, body)

        exchange.fetch = fetch

    session.Session._made = made  # type: ignore[method-assign]
    wire._watch_fetch = fetches


def _fills_twice() -> None:
    """A fill's number is not looked at."""
    from tickwork.trading.ledger import Ledger

    Ledger.knows = lambda self, fill: False  # type: ignore[method-assign]
    Ledger._note = lambda self, fill: True  # type: ignore[method-assign]


def _halt_forgotten() -> None:
    """A halt does not outlive the process."""
    from tickwork.service.accounts import guarding

    guarding.halts_on = lambda queries: {}  # type: ignore[attr-defined]


_ONCE: Final = ("orders once at the exchange",)
_BOOKS: Final = ("fills as the exchange has them", "books as the exchange has them")
_LOST: Final = ("drop_after", "error_after")
_BUYS: Final = ("burst", "chain")

PLANTS: Final = {
    plant.name: plant
    for plant in (
        Plant(
            "resend",
            "what is unknown is sent again, and not looked for",
            mutations.MUTATIONS["no-lookup"].apply,
            (*_ONCE, *_BOOKS),
            faults=_LOST,
            kinds=_BUYS,
        ),
        Plant(
            "resend-after-crash",
            "an intent without an outcome is sent again",
            mutations.MUTATIONS["no-lookup-after-crash"].apply,
            (*_ONCE, *_BOOKS),
            points=("wire.after", "outcome.before"),
            kinds=_BUYS,
        ),
        Plant(
            "no-grace",
            "not found is taken as proof at once",
            _no_grace,
            (*_ONCE, *_BOOKS),
            faults=("lost in lag",),
            kinds=_BUYS,
        ),
        Plant(
            "ccxt-retries",
            "ccxt repeats requests by itself",
            _ccxt_retries,
            (*_ONCE, *_BOOKS),
            faults=_LOST,
            kinds=_BUYS,
        ),
        Plant(
            "fills-twice",
            "fills are booked whether or not they have been",
            _fills_twice,
            _BOOKS,
            faults=("partial",),
            kinds=("near",),
        ),
        Plant(
            "wire-first",
            "an order is on the wire before its intent is on disk",
            mutations.MUTATIONS["effect-before-barrier"].apply,
            ("orders at the exchange as on the tape", *_BOOKS, *_ONCE),
            points=("commit.rows", "commit.begun", "wire.after"),
            kinds=_BUYS,
        ),
        Plant(
            "halt-forgotten",
            "a halt does not outlive the process",
            _halt_forgotten,
            ("the halt was honoured",),
            pulls=True,
            kinds=_BUYS,
        ),
    )
}


def apply(name: str) -> None:
    """Make this process a wrong build; an empty name changes nothing."""
    if name:
        PLANTS[name].apply()
