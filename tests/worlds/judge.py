"""The laws of a world, judged by what the exchange really did and what the tape really says.

While it runs:

* **one order each**: no client id is accepted twice;
* **limits**: what is held and may still be bought at the exchange never exceeds a limit, at the lowest price there was;
* **halt**: nothing is accepted that takes new exposure and was begun when a halt was on disk;
* **restart first**: nothing is accepted that takes new exposure while an intent from before the restart is open;
* **reductions pass**: the gate refuses none that there is room for, whatever is unknown, halted or stale.

At the end, when there are no faults any more:

* **one order each**: what the exchange accepted is what the tape says was accepted, on its terms, and nothing else;
* **books agree**: each fill, each balance, to the last digit, in memory and as read from the tape;
* **nothing stays unknown** where the venue declares a bound; where it does not, it is reserved, told and blocks;
* **halts sweep**: once a halt says that it has cancelled what rested, nothing from before it can still buy;
* **exits**: a ladder sells shares of the original quantity, and all exits together no more than there was;
* **cancels are true**: nobody is told that an order does not exist that does;
* **replay**: the tape opened again records nothing by itself, and every run comes out as it did.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from tests.laws.probe import check_replay, check_tape, tape_of
from tests.worlds.flows import SHARES
from tests.worlds.inside import VIEWS, Process
from tests.worlds.outside import Books
from tests.worlds.plan import SYMBOLS
from tickwork.core.codec import decode_error
from tickwork.core.tape import Record
from tickwork.engines.embedded.assembly import Memory
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import Fatal, NotSent, Rejected, TickworkError
from tickwork.service.accounts.events import OrderInDoubt
from tickwork.service.accounts.recovery import recall
from tickwork.service.exits_events import ExitClaimed, ExitFilled, ExitPlanOpened
from tickwork.service.halting import HaltRaised, halts_on
from tickwork.service.sweeping import HaltSwept
from tickwork.sim.exchange import Order, Request, Trade
from tickwork.sim.exchange.orders import OPEN
from tickwork.trading.desk import SUBMIT, OpenIntent
from tickwork.trading.exits import Claim, ExitPlan
from tickwork.trading.gate import Decision, RiskGate
from tickwork.trading.halt import LEVELS, HaltLevel
from tickwork.trading.ledger import fold
from tickwork.trading.orders import Approval, ApprovedOrder, OrderIntent
from tickwork.values import EXACT, rounded_down

if TYPE_CHECKING:
    from tests.worlds.world import World

ZERO: Final = Decimal(0)
_EXITS: Final[dict[str, type[ExitPlanOpened | ExitFilled | ExitClaimed]]] = {
    cls.event_name: cls for cls in (ExitPlanOpened, ExitFilled, ExitClaimed)
}
STOPPING: Final = ("halt", "shutdown")


@dataclass(slots=True)
class Submission:
    """A submission, as the tape has it."""

    approval: Approval
    outcome: Record | None = None

    @property
    def accepted(self) -> bool:
        """Does the tape say that the venue has it?"""
        return self.outcome is not None and not bytes(self.outcome.error)

    @property
    def open(self) -> bool:
        """Does it say nothing certain?"""
        if self.outcome is None:
            return True
        return bool(bytes(self.outcome.error)) and not isinstance(decode_error(self.outcome.error), (Fatal, NotSent))


def submissions_on(memory: Memory) -> dict[str, Submission]:
    """Every submission on a tape, by client id."""
    found: dict[str, Submission] = {}
    for entry in Queries(Reader(memory.connection)).effects(SUBMIT):
        record = entry.record
        if record.kind == "intent":
            found[record.key] = Submission(OpenIntent.read(record.key, bytes(record.value)).approval)
        elif record.key in found:
            found[record.key].outcome = record
    return found


class Judge:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._books = Books()
        self._begun: dict[str, tuple[ApprovedOrder, bool]] = {}
        """By client id: what was last begun to be submitted, and whether a halt was on disk then."""
        self._halted = False
        self._doubtful: set[str] = set()
        """Intents that a restart found open, and of which nothing has been heard since."""
        self._reserved: set[str] = set()
        """All that were ever found so: what becomes of them is no new exposure."""
        self._numbers: dict[int, int] = {}
        self._sent: list[Request] = []
        self._here: set[int] = set()

    def _fail(self, law: str, what: str) -> None:
        self._world.fail(law, what)

    # -- the wire -------------------------------------------------------------------------------------------------

    def sent(self, request: Request) -> int:
        """A request was sent."""
        self._sent.append(request)
        number = len(self._sent)
        self._numbers[id(request)] = number
        if self._world.trace:
            self._world.say("client", f"#{number} {request.method} {request.path} {_shown(request)}")
        return number

    def requested(self, request: Request) -> None:
        """It arrived."""
        self._here.add(self._numbers[id(request)])

    def arrived(self, number: int) -> bool:
        """Has it?"""
        return number in self._here

    def answered(self, number: int, what: str) -> None:
        """And that is what the process heard of it."""
        self._world.say("exchange", f"#{number} {what[:400]}")

    def begun(self, key: str, order: ApprovedOrder) -> None:
        """The venue was asked to submit an order."""
        self._begun[key] = (order, self._halted)
        self._doubtful.discard(key)  # it is sent (again): it was certain that it did not exist
        self._world.story.counts["submissions"] += 1

    def looked(self, key: str, found: bool) -> None:
        """An order was looked for, and the venue answered."""
        self._world.story.counts["found" if found else "absent"] += 1
        if found:
            self._doubtful.discard(key)

    def disowned(self, key: str) -> None:
        """A person said that an order in doubt does not exist."""
        self._doubtful.discard(key)

    # -- the exchange ---------------------------------------------------------------------------------------------

    def accepted(self, order: Order) -> None:
        """The exchange took an order."""
        self._world.say("exchange", f"ACCEPTS {order.side} {order.quantity} {order.market.symbol} {order.client_id}")
        self._world.story.counts["orders"] += 1
        self._books.accepted(order)
        key = self._key(order)
        if sum(self._key(one) == key for one in self._world.outside.exchange.orders) > 1:
            self._fail("one order each", f"{key} was accepted twice")
        begun = self._begun.get(key)
        if begun is None:
            self._fail("one order each", f"{key} was never begun to be sent")
            return
        approved, halted = begun
        if approved.reduce_only:
            return
        if halted:
            self._fail("halt", f"{key} was begun after a halt was on disk, and accepted")
        if key not in self._reserved and self._doubtful and self._still_open():
            open_yet = sorted(self._doubtful)
            self._fail("restart first", f"{key} was accepted while {open_yet} from before the restart is open")
        self._limits(order, approved.approval)

    def _key(self, order: Order) -> str:
        return order.client_id or ""

    def _still_open(self) -> bool:
        known = submissions_on(self._world.memory)
        self._doubtful = {key for key in self._doubtful if key in known and known[key].open}
        return bool(self._doubtful)

    def _limits(self, order: Order, approval: Approval) -> None:
        rules, symbol = self._world.plan.limits, order.market.symbol
        worth = {one: EXACT.multiply(self._books.worst(one), self._world.outside.lowest[one]) for one in SYMBOLS}
        scopes = [("account", rules["account"])]
        if symbol in rules.get("symbols", {}):
            scopes.append((symbol, rules["symbols"][symbol]))
        for name, limits in scopes:
            most = limits.get("max_position_notional")
            if most is not None and worth[symbol] > Decimal(most):
                self._fail("limits", f"{name}: {worth[symbol]} of {symbol} may be held, the limit is {most}")
        gross, most = sum(worth.values(), ZERO), rules["account"]["max_exposure"]
        if gross > Decimal(most):
            self._fail("limits", f"exposure may come to {gross}, the limit is {most}")
        standing = sum(one.is_open and one.side == "BUY" for one in self._books.buying.values())
        if standing > rules["account"]["max_open_orders"]:
            self._fail("limits", f"{standing} orders that take exposure are open")
        self._limit_of_workflow(approval.intent.workflow, symbol)

    def _limit_of_workflow(self, workflow: str, symbol: str) -> None:
        limits = self._world.plan.limits.get("workflows", {}).get(workflow)
        if limits is None:
            return
        total = ZERO
        for order in self._world.outside.exchange.orders:
            begun = self._begun.get(self._key(order))
            if begun is None or order.market.symbol != symbol or begun[0].approval.intent.workflow != workflow:
                continue
            done = EXACT.add(order.executed, order.remaining if order.is_open else ZERO)
            total = EXACT.add(total, done if order.side == "BUY" else EXACT.minus(order.executed))
        worth = EXACT.multiply(total, self._world.outside.lowest[symbol])
        if worth > Decimal(limits["max_position_notional"]):
            self._fail("limits", f"workflow {workflow}: {worth} of {symbol}")

    def traded(self, trade: Trade) -> None:
        """One of its orders traded."""
        self._world.say("exchange", f"TRADES {trade.quantity} at {trade.price} of {trade.order.client_id}")
        self._world.story.counts["fills"] += 1
        self._books.traded(trade)

    # -- halts ----------------------------------------------------------------------------------------------------

    def halted(self, level: str) -> None:
        """A halt is on disk."""
        self._halted = self._halted or level in STOPPING

    def cleared(self) -> None:
        """A clearing is under way."""
        self._halted = False

    def halt_on_tape(self) -> HaltLevel:
        """The level that the tape says."""
        standing = halts_on(Queries(Reader(self._world.memory.connection)))
        found: HaltLevel = max((line.level for line in standing.values()), key=LEVELS.index, default="normal")
        self._halted = found in STOPPING
        return found

    # -- the process ----------------------------------------------------------------------------------------------

    def restored(self, process: Process) -> None:
        """The desk was rebuilt from the tape, and nothing has run yet."""
        known = submissions_on(self._world.memory)
        disowned = process.past.disowned
        self._doubtful = {key for key, one in known.items() if one.open and key not in disowned}
        self._reserved |= self._doubtful
        self._world.story.counts["open at a restart"] += len(self._doubtful)
        process.desk._gate = _Witness(process.desk._gate, self)  # type: ignore[assignment] # in its place

    def refused(self, intent: OrderIntent, decision: Decision, shown: dict[str, Any]) -> None:
        """The gate refused a reduction: was there room?"""
        ledger = shown["ledger"]
        # fees may have been taken of the coin itself
        held = EXACT.add(ledger.quantity(intent.symbol), min(ledger.cash(intent.symbol.split("/")[0]), ZERO))
        covered = ZERO
        for one, left in shown["reservations"].of(intent.symbol):
            if one.reduce_only and one.side == intent.side and one.state != "unknown":
                covered = EXACT.add(covered, left)
        step = self._world.outside.exchange.book(intent.symbol).market.quantity_step
        room = rounded_down(min(EXACT.subtract(held, covered), intent.quantity or ZERO), step)
        if room > 0:
            refusal = decision.refusal
            self._fail("reductions pass", f"{intent.quantity} of {held} {intent.symbol} refused: {refusal}")

    def given_up(self, key: str) -> bool:
        """Did the engine give up looking for it? Then a person has to."""
        one = submissions_on(self._world.memory).get(key)
        return one is not None and one.outcome is not None and one.open

    def stuck(self, process: Process) -> None:
        """Something does not come to an end: what is unknown must be told, reserved and in the way."""
        told = {
            OrderInDoubt.read(entry.record.version, bytes(entry.record.value)).client_order_id
            for entry in Queries(Reader(self._world.memory.connection)).events(OrderInDoubt.event_name)
        }
        desk = process.desk
        for key in desk.unknown:
            held = desk.reservations.get(key)
            assert held is not None
            if key not in told and key not in self._doubtful:
                self._fail("nothing stays unknown", f"{key} is in doubt, and the tape does not say so")
            wanted = OrderIntent(
                account="main", owner="", workflow="probe", symbol=held.symbol, side="buy",
                quantity=Decimal(1_000_000), reference_price=Decimal(1),
            )  # fmt: skip
            decision = desk._gate.check(
                wanted, ledger=desk.ledger, reservations=desk.reservations, quote=None, now=0, halt=process.halt
            )
            if decision.refusal is None or decision.refusal.rule not in ("unknown", "unresolved", "halt"):
                self._fail("nothing stays unknown", f"{key} does not block new exposure: {decision.refusal}")

    # -- the end --------------------------------------------------------------------------------------------------

    async def at_end(self, process: Process) -> None:
        """Everything has come to rest."""
        await process.engine.durable()
        if process.desk.reservations.doubtful():
            self._fail("nothing stays unknown", str(process.desk.reservations.doubtful()))
        self._orders()
        self._cancels()
        self._sweeps()
        self._exits()
        self._fills(process)
        for row in process.engine._reader.rows("SELECT seq, workflow, status FROM runs WHERE status!=10"):
            self._fail("every run ends well", str(row))

    def _orders(self) -> None:
        known = submissions_on(self._world.memory)
        there = {self._key(order): order for order in self._world.outside.exchange.orders}
        for key in sorted({*there, *known}):
            order, one = there.get(key), known.get(key)
            if one is None:
                self._fail("one order each", f"the tape knows nothing of {key}")
            elif order is None:
                if one.accepted:
                    self._fail("one order each", f"the tape says that {key} was accepted, and it was not")
            elif not one.accepted and not self._excused(one):
                self._fail("one order each", f"{key} was accepted, and the tape does not say so: {one.outcome}")
            elif (order.market.symbol, order.side.lower(), order.quantity) != (
                one.approval.intent.symbol,
                one.approval.intent.side,
                one.approval.quantity,
            ):
                self._fail("one order each", f"{key} is on other terms: {order.side} {order.quantity}")
        if self._world.outside.exchange.repeats:
            self._fail("one order each", "an order was sent again though it was there")

    def _cancels(self) -> None:
        """Whoever is told that there is no such order must not find it there."""
        there = self._world.outside.exchange.submissions(self._world.outside.exchange.account("main"))
        asked: dict[str, str] = {}
        for entry in Queries(Reader(self._world.memory.connection)).effects("cancel"):
            record = entry.record
            if record.kind == "intent":
                asked[record.key] = msgspec.json.decode(bytes(record.value))[0]
            elif asked[record.key] in there and isinstance(_error(record), Rejected):
                self._fail("cancels are true", f"{asked[record.key]} exists, and its cancel was told otherwise")

    def _sweeps(self) -> None:
        """When a halt says that all is cancelled, nothing from before it can take exposure."""
        if any(act.doing == "skew" for act in self._world.plan.acts):
            return  # the exchange dates its orders by its own clock
        raised = 0
        for entry in Queries(Reader(self._world.memory.connection)).events(HaltRaised.event_name, HaltSwept.event_name):
            record = entry.record
            if record.name == HaltRaised.event_name:
                raised = record.at
            elif HaltSwept.read(record.version, bytes(record.value)).complete:
                self._world.story.counts["swept"] += 1
                for order in self._world.outside.exchange.orders:
                    if order.side == "BUY" and order.created < raised and order.state(record.at).status in OPEN:
                        self._fail("halts sweep", f"{self._key(order)} still rests")

    def _exits(self) -> None:
        """A ladder sells shares of the original quantity, and all exits of a plan together no more than that."""
        plans: dict[str, ExitPlan] = {}
        sold: Counter[str] = Counter()
        begun: set[tuple[str, int]] = set()
        for entry in Queries(Reader(self._world.memory.connection)).events(*_EXITS):
            event = _EXITS[entry.record.name].read(entry.record.version, bytes(entry.record.value))
            match event:
                case ExitPlanOpened():
                    plans[event.plan.id] = event.plan
                case ExitFilled():
                    sold[event.claim.plan_id] += event.quantity  # type: ignore[assignment] # a sum of decimals
                case ExitClaimed():
                    self._claim(plans[event.claim.plan_id], event.claim, begun)
                case _:
                    pass
        self._world.story.counts["exits"] += len(begun)
        for plan_id, quantity in sold.items():
            if quantity > plans[plan_id].quantity:
                self._fail("exits", f"{plan_id} of {plans[plan_id].quantity} has sold {quantity}")

    def _claim(self, plan: ExitPlan, claim: Claim, begun: set[tuple[str, int]]) -> None:
        first = not any((plan.id, leg) in begun for leg in claim.legs)
        begun.update((plan.id, leg) for leg in claim.legs or (-claim.number,))
        if claim.is_stop or not first or EXACT.multiply(plan.quantity, plan.entry_price) < 50:
            return  # a small position has legs that no venue takes: they are merged
        sizes = [rounded_down(EXACT.multiply(share, plan.quantity), plan.quantity_step) for share in SHARES[:-1]]
        sizes.append(EXACT.subtract(plan.quantity, sum(sizes, ZERO)))
        wanted = sum((sizes[leg] for leg in claim.legs), ZERO)
        if claim.quantity != wanted:
            self._fail(
                "exits", f"{claim.id} is for {claim.quantity}; legs {claim.legs} of {plan.quantity} are {wanted}"
            )

    def _excused(self, one: Submission) -> bool:
        """The engine gave up looking (``TimedOut``): the account follows the order all the same."""
        return one.open and one.outcome is not None

    def _fills(self, process: Process) -> None:
        exchange = self._world.outside.exchange
        account = exchange.account("main")
        theirs: Counter[tuple[object, ...]] = Counter(
            (
                self._key(trade.order), symbol, trade.order.side.lower(), trade.price, trade.quantity, trade.fee,
                trade.fee_asset,
            )
            for symbol in SYMBOLS
            for trade in exchange.trades(account, exchange.book(symbol).market)
        )  # fmt: skip
        past = recall(Queries(Reader(self._world.memory.connection)), "main")
        ours: Counter[tuple[object, ...]] = Counter(
            (fill.client_order_id, fill.symbol, fill.side, fill.price, fill.quantity, fill.fee, fill.fee_currency)
            for fill in past.fills
        )
        if ours != theirs:
            self._fail(
                "books agree", f"the tape lacks {list((theirs - ours).items())[:3]}, it has {ours - theirs} besides"
            )
        again = fold(past.fills, past.paid_in)
        for asset in ("USDT", "BTC", "XYZ"):
            true = account.of(asset).total
            for name, ledger in (("the books", process.desk.ledger), ("the tape", again)):
                if ledger.holding(asset) != true:
                    self._fail("books agree", f"{asset}: {name} say {ledger.holding(asset)}, the exchange {true}")

    def reopened(self, process: Process) -> None:
        """The tape, read once more from its records: it asks nothing, and every run comes out as it did."""
        try:
            check_tape(self._world.memory)
            check_replay(self._world.memory, {one.name: one for one in process.workflows})
        except (AssertionError, TickworkError) as error:
            self._fail("replay", f"{type(error).__name__}: {error}"[:500])

    async def opened_again(self, process: Process) -> None:
        """The tape, opened once more: nothing happens by itself."""
        memory = self._world.memory
        before = tape_of(memory)
        async with Engine(
            memory, workflows=process.workflows, views=VIEWS, clock=self._world.clock, seed="again"
        ) as engine:
            await engine.idle()
            problems = await engine.check()
        after = tape_of(memory)
        if after[: len(before)] != before or len(after) != len(before) + 1 or problems:
            self._fail("replay", f"opening it again records {after[len(before) :]}, {problems}")


class _Witness:
    """The gate, overlooked."""

    def __init__(self, gate: RiskGate, judge: Judge) -> None:
        self._gate = gate
        self._judge = judge

    def check(self, intent: OrderIntent, **shown: Any) -> Decision:
        """See ``RiskGate``."""
        decision = self._gate.check(intent, **shown)
        if intent.reduce_only and decision.refusal is not None:
            self._judge.refused(intent, decision, shown)
        return decision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)


def _error(outcome: Record) -> BaseException | None:
    return decode_error(outcome.error) if bytes(outcome.error) else None


def _shown(request: Request) -> str:
    said = dict(parse_qsl(f"{request.query}&{request.body}"))
    return " ".join(f"{name}={value}" for name, value in said.items() if name not in ("signature", "timestamp"))
