"""What whoever asks can have of a session, besides what guards it: orders, books, prices, alerts. See the verbs.

They are there from the moment on in which the tape is owned, so that nobody is told that this process does not trade;
what they do waits until the accounts are on the tape and their exits are taken up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.engine import Engine
from tickwork.service.accounts.books import Books
from tickwork.service.accounts.opening import Opened
from tickwork.service.accounts.ordering import Ordering
from tickwork.service.accounts.quoting import Quoting
from tickwork.service.accounts.standing import Standing
from tickwork.service.accounts.trading import Trading
from tickwork.service.alerts import Alerts
from tickwork.service.alerts_told import told_workflow
from tickwork.service.watch import Watch


class Asked:
    """Answers for a session. ``workflows`` come before its engine is made, ``offer`` once it is open, ``begin`` last.

    Args:
        opened: accounts, by name.
        trading: what its workflows trade with.
        recordings: the folder of its feeds' recordings.
        clock: ns since 1970 UTC.
    """

    def __init__(
        self, opened: Mapping[str, Opened], trading: Trading, recordings: Path, clock: Callable[[], int]
    ) -> None:
        symbols = {name: tuple(one.rules) for name, one in opened.items()}
        self._ordering = Ordering(trading.accounts, trading.prices, trading.sources, symbols)
        self._books = Books(opened, trading.sources, clock)
        self._quoting = Quoting(opened, trading.sources, trading.prices, recordings, clock)
        self._standing = Standing(trading.accounts, clock)
        self._opened = opened
        self._begun = asyncio.Event()
        self.watch: Watch | None = None
        """Once there is one: tells how the feeds are."""

    @property
    def alerts(self) -> Alerts:
        """Alerts and rules, once it is open: to be fed with prices."""
        return self._standing.alerts

    def workflows(self) -> list[Workflow]:
        """What the engine runs for them."""
        return [*self._ordering.workflows(), told_workflow()]

    def offer(self, engine: Engine) -> None:
        """Take calls, and alerts up."""
        self._standing.open(engine)
        for verbs in (
            self._ordering.verbs(engine),
            self._books.verbs(),
            self._quoting.verbs(lambda: self.watch),
            self._standing.alerts.verbs(),
        ):
            engine.offer({name: self._later(verb) for name, verb in verbs.items()})

    def begin(self) -> None:
        """The accounts are open: answer, and tell rules what is held."""
        for one in self._opened.values():
            one.account.on_holding = self._after(one.account.on_holding)
        self._standing.look()
        self._begun.set()

    def _later(self, verb: Verb) -> Verb:
        async def answered(**asked: Any) -> Any:
            await self._begun.wait()
            return await verb(**asked)

        return answered

    def _after(self, first: Callable[[str, str, str, Decimal], None]) -> Callable[[str, str, str, Decimal], None]:
        def changed(account: str, workflow: str, symbol: str, quantity: Decimal) -> None:
            first(account, workflow, symbol, quantity)
            self._standing.look()

        return changed

    async def run(self, sleep: Callable[[float], Awaitable[Any]]) -> None:
        """Keep the rules told of what is held, until cancelled."""
        await self._standing.run(sleep)
