"""What guards open accounts: halts by hand and by rule, sweeps, flatten, reconciliation.

Every second the limits are looked at whose breach halts an account (loss of the day, drawdown, failed submissions), and
how long its venue has been silent. What a workflow alone has breached stops that workflow at the gate, and nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Final

from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.market.bars import Quote
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.opening import Opened
from tickwork.service.flattening import Flattening, flatten_workflow
from tickwork.service.guarded import GuardedAccount
from tickwork.service.halting import Halting, halt_lines, halt_workflow, halts_on, restore
from tickwork.service.reconcile_events import ReconcileAsked
from tickwork.service.reconciling import Reconciler, Reconciling, reconcile_workflow
from tickwork.trading.adoptions import Policy
from tickwork.trading.breaches import breaches
from tickwork.trading.halt import Halts, silence
from tickwork.trading.limits import RiskRules
from tickwork.values import DurationLike, duration

VIEWS: Final[tuple[View, ...]] = (halt_lines,)
_LOOK_S: Final = 1.0


class Guards:
    """The guards of a session's accounts.

    ``recall`` and ``add`` come before the engine is made, ``open`` once it is open.
    """

    def __init__(self, clock: Callable[[], int], sleep: Callable[[float], Awaitable[object]]) -> None:
        self.halts = Halts()
        self._clock = clock
        self._sleep = sleep
        self._accounts: dict[str, GuardedAccount] = {}
        self._open: dict[str, tuple[OpenAccount, RiskRules]] = {}
        self._halting: Halting | None = None
        self.judged_ns: int | None = None
        """When the limits were last looked at (ns)."""

    def recall(self, queries: Queries | None) -> None:
        """Take up the halts that stand on the tape."""
        restore(self.halts, halts_on(queries))

    def add(self, name: str, opened: Opened, quotes: Callable[[str], Quote | None]) -> None:
        """Guard an account."""
        account, config = opened.account, opened.config

        def mark(symbol: str) -> Decimal | None:
            quote = quotes(symbol)
            return None if quote is None else (quote.bid + quote.ask) / 2

        self._open[name] = account, config.rules(name)
        self._accounts[name] = GuardedAccount(
            name=name,
            owner=account.owner,
            currency=account.currency,
            desk=account.desk,
            venue=account.venue,
            clock=self._clock,
            pull=account.look,
            book=account.book,
            adoptions=opened.adoptions,
            mark=mark,
            workflow_of=account.workflow_of,
            fills_since=account.fills_since,
            symbols=tuple(opened.rules),
            opened_at=opened.past.opened_at or self._clock(),
            policy=Policy(orphan_orders=config.on_orphan_order, balances=config.on_orphan_balance),
        )

    def workflows(self, reconcile_every: DurationLike | None) -> Iterable[Workflow]:
        """What the engine runs for them. ``None``: accounts are reconciled only when somebody asks for it."""
        self._halt_flow = halt_workflow(self._accounts)
        self._flatten_flow = flatten_workflow(self._accounts, self.halts)
        self._reconcile_flow = reconcile_workflow(
            Reconciler(self._accounts, lambda: self.halting, sleep=self._pause), self._accounts, reconcile_every
        )
        return [self._halt_flow, self._flatten_flow, self._reconcile_flow]

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)

    @property
    def halting(self) -> Halting:
        """Raises and clears halts, once the engine is open."""
        assert self._halting is not None, "the engine is not open"
        return self._halting

    async def open(self, engine: Engine) -> None:
        """Answer other processes, and sweep what was halted while nobody was there."""
        self._halting = Halting(engine, self.halts, self._accounts, self._clock)
        self._reconciling = Reconciling(engine, self._reconcile_flow, self._accounts)
        for part in (self.halting, Flattening(engine, self._flatten_flow, self._accounts), self._reconciling):
            engine.offer(part.verbs())
        await self.halting.sweep_standing(self._halt_flow)

    async def begin(self) -> None:
        """Look whether the books agree, once there are prices to say what a difference is worth."""
        await self._reconciling.start(ReconcileAsked(by="start"))

    def judge(self) -> None:
        """Raise the halts that limits and silent venues come to."""
        now = self.judged_ns = self._clock()
        for name, (account, rules) in self._open.items():
            found = [one for one in breaches(rules, account.desk.activity, now) if one.scope == "account"]
            quiet = silence(account.unheard_since, now)
            self.halting.judged([*found, *([quiet] if quiet is not None else [])], account=name)

    async def run(self) -> None:
        """Judge every second, until cancelled."""
        while True:
            self.judge()
            await self._sleep(_LOOK_S)


def every_of(configs: Mapping[str, DurationLike]) -> DurationLike:
    """How often accounts are reconciled: all of them as often as the one that asks for it most."""
    return min(configs.values(), key=lambda every: duration(every))
