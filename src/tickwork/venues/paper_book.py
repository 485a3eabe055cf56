"""The paper venue's book on disk: an SQLite file of its own, because a venue is the outside world.

Theory of operation. The file holds what a real venue would remember: money paid in, orders, fills, balances, and how
far into each symbol's bars and quotes it has traded. One change (an order accepted, the fills of one bar, a cancel) is
one transaction, WAL with ``synchronous=FULL``: after a kill at any instruction the file holds the change as a whole or
not at all. Decimals are texts; SQLite's own arithmetic, which is floating point, never touches money.

One process owns a book, by a lock on a file beside it that dies with the process. Anyone may read it
(``book_totals``), also while it is owned and after its owner was killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import apsw

from tickwork.errors import Fatal, InvalidInput, TapeError
from tickwork.trading.ledger import Ledger
from tickwork.trading.order_life import WORKING
from tickwork.trading.orders import ZERO, Fill, Order
from tickwork.values import EXACT, base_of, plain, quote_of
from tickwork.venues.paper_schema import SCHEMA, UPGRADES, VERSION

MEMORY: Final = ":memory:"
_FILL_COLUMNS: Final = (
    "SELECT f.id, o.client_order_id, f.order_id, o.symbol, o.side, f.price, f.quantity, f.fee, f.fee_currency, f.time,"
    " f.bar_offset FROM fills f JOIN orders o ON o.id = f.order_id"
)
_ORDER_COLUMNS: Final = (
    "SELECT client_order_id, id, symbol, side, type, quantity, limit_price, reduce_only, status, filled,"
    " filled_notional, fee, fee_currency, reason, held_asset, held_amount, not_before,"
    " time_in_force FROM orders"
)


@dataclass(frozen=True, slots=True)
class Held:
    """What an open order locks."""

    asset: str
    amount: Decimal


@dataclass(slots=True, kw_only=True)
class BookState:
    """Everything that must be at hand to take an order or trade a bar; what has ended stays on disk."""

    balances: dict[str, Decimal] = field(default_factory=dict)
    open: dict[str, dict[str, Order]] = field(default_factory=dict)
    """Open orders by symbol, then by client id, in order of acceptance."""
    held: dict[str, Held] = field(default_factory=dict)
    """By client id."""
    cursors: dict[str, int] = field(default_factory=dict)
    """Offset of the last bar seen, by symbol."""
    quoted: dict[str, int] = field(default_factory=dict)
    """Time of the last quote seen, by symbol; ns."""
    last_prices: dict[str, Decimal] = field(default_factory=dict)
    next_order: int = 1
    next_fill: int = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a symbol's market has been seen."""

    symbol: str
    offset: int
    """Of the last bar; -1: none."""
    last_price: Decimal
    quoted_at: int
    """Of the last quote, ns; 0: none."""


@dataclass(slots=True, kw_only=True)
class Change:
    """One transaction."""

    orders: list[tuple[Order, Held]] = field(default_factory=list)
    """Accepted or changed."""
    fills: list[Fill] = field(default_factory=list)
    balances: dict[str, Decimal] = field(default_factory=dict)
    """New totals of what changed."""
    cursor: Cursor | None = None
    at: int = 0
    """When it happens, ns: the time at which those of the orders have ended that end by it."""


class PaperBook:
    """The file. Not safe for use by two threads at once: its venue serialises.

    Raises:
        Fatal: another process owns the book.
        InvalidInput: the file is not a book, or another account's or venue's.
        TapeError: from any of its methods: the disk failed. A change is then on disk as a whole or not at all.
    """

    def __init__(self, path: str | Path, *, venue: str, account: str, deposits: Mapping[str, Decimal]) -> None:
        self.venue = venue
        self.account = account
        self.on_fault: Callable[[TapeError], None] = lambda fault: None
        """Called when the disk fails, before the error is raised."""
        self._path = path
        self._lock = None if str(path) == MEMORY else _lock(Path(path))
        try:
            self._db = apsw.Connection(str(path))
            self._db.set_busy_timeout(5_000)
            # `execute` runs only as far as rows are fetched
            self._db.execute("PRAGMA journal_mode = WAL").fetchall()
            self._db.execute("PRAGMA synchronous = FULL").fetchall()
            self._prepare(path, deposits)
        except BaseException:
            self.close()
            raise

    def _prepare(self, path: str | Path, deposits: Mapping[str, Decimal]) -> None:
        with self._db:
            version = self._db.pragma("user_version")
            if version == 0:
                self._db.execute(SCHEMA)
                self._db.execute("INSERT INTO identity VALUES (?, ?)", (self.venue, self.account))
                rows = [(asset, plain(amount)) for asset, amount in deposits.items()]
                self._db.executemany("INSERT INTO deposits VALUES (?, ?)", rows)
                self._db.executemany("INSERT INTO balances VALUES (?, ?)", rows)
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif version in UPGRADES:
                for older in range(version, VERSION):
                    self._db.execute(UPGRADES[older]).fetchall()
                self._db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise InvalidInput("paper book", f"{path} of version {version}", f"a book of version {VERSION}")
        found = self._db.execute("SELECT venue, account FROM identity").fetchone()
        if found != (self.venue, self.account):
            raise InvalidInput("paper book", f"{path} of {found}", f"the book of {(self.venue, self.account)}")

    def close(self) -> None:
        """Close the file and let go of the lock."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- reading --------------------------------------------------------------------------------------------------

    def load(self) -> BookState:
        """What the venue keeps in memory."""
        state = BookState()
        state.balances = {asset: Decimal(total) for asset, total in self._rows("SELECT asset, total FROM balances")}
        for symbol, offset, price, quoted in self._rows(
            "SELECT symbol, bar_offset, last_price, quoted_at FROM cursors"
        ):
            state.cursors[symbol], state.quoted[symbol] = offset, quoted
            state.last_prices[symbol] = Decimal(price)
        for row in self._rows(f"{_ORDER_COLUMNS} WHERE ended_at IS NULL ORDER BY id"):
            order = self._order(row)
            state.open.setdefault(order.symbol, {})[order.client_order_id] = order
            state.held[order.client_order_id] = Held(row[14], Decimal(row[15]))
        ((state.next_order,),) = self._rows("SELECT coalesce(max(id), 0) + 1 FROM orders")
        ((state.next_fill,),) = self._rows("SELECT coalesce(max(id), 0) + 1 FROM fills")
        return state

    def order(self, client_order_id: str) -> Order | None:
        """An order in whatever state; ``None`` when the book has none of this client id."""
        rows = self._rows(f"{_ORDER_COLUMNS} WHERE client_order_id = ?", (client_order_id,))
        return self._order(rows[0]) if rows else None

    def ended_at(self, client_order_id: str) -> int | None:
        """When an order ended (ns); ``None`` while it has not, or when there is none."""
        rows = self._rows("SELECT ended_at FROM orders WHERE client_order_id = ?", (client_order_id,))
        return None if not rows else rows[0][0]

    def fills(self, since: int) -> list[Fill]:
        """Fills numbered above ``since``, ascending."""
        return [self._fill(row) for row in self._rows(f"{_FILL_COLUMNS} WHERE f.id > ? ORDER BY f.id", (since,))]

    def totals(self) -> BookTotals:
        """What the rows on disk add up to."""
        with self._disk("read", "see to the disk, or restore the book"):
            return _totals(self._db)

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._disk("read", "see to the disk, or restore the book"):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _disk(self, done: str, remedy: str) -> Iterator[None]:
        """Say in words what the disk would not do."""
        try:
            yield
        except apsw.Error as error:
            fault = TapeError(f"the paper book {self._path} cannot be {done} ({error}): {remedy}")
            self.on_fault(fault)
            raise fault from None

    def _order(self, row: tuple[Any, ...]) -> Order:
        return Order(
            venue=self.venue,
            account=self.account,
            client_order_id=row[0],
            venue_order_id=str(row[1]),
            symbol=row[2],
            side=row[3],
            type=row[4],
            quantity=Decimal(row[5]),
            limit_price=None if row[6] is None else Decimal(row[6]),
            reduce_only=bool(row[7]),
            status=row[8],
            filled=Decimal(row[9]),
            filled_notional=Decimal(row[10]),
            fee=Decimal(row[11]),
            fee_currency=row[12],
            reason=row[13],
            time=row[16],
            time_in_force=row[17],
        )

    def _fill(self, row: tuple[Any, ...]) -> Fill:
        return Fill(
            venue=self.venue,
            account=self.account,
            fill_id=str(row[0]),
            client_order_id=row[1],
            venue_order_id=str(row[2]),
            symbol=row[3],
            side=row[4],
            price=Decimal(row[5]),
            quantity=Decimal(row[6]),
            fee=Decimal(row[7]),
            fee_currency=row[8],
            time=row[9],
            offset=row[10],
        )

    # -- writing --------------------------------------------------------------------------------------------------

    def commit(self, change: Change) -> None:
        """Write one change; on disk, or not at all, when this returns or raises."""
        with self._disk("written", "free or replace the disk, and start again"), self._db:
            self._db.executemany(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET status = excluded.status, filled = excluded.filled,"
                " filled_notional = excluded.filled_notional, fee = excluded.fee,"
                " fee_currency = excluded.fee_currency, reason = excluded.reason, held_asset = excluded.held_asset,"
                " held_amount = excluded.held_amount, ended_at = excluded.ended_at",
                [_order_row(order, held, change.at) for order, held in change.orders],
            )
            self._db.executemany(
                "INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [_fill_row(fill) for fill in change.fills]
            )
            self._db.executemany(
                "INSERT INTO balances VALUES (?, ?) ON CONFLICT (asset) DO UPDATE SET total = excluded.total",
                [(asset, plain(total)) for asset, total in change.balances.items()],
            )
            if change.cursor is not None:
                cursor = change.cursor
                self._db.execute(
                    "INSERT INTO cursors VALUES (?, ?, ?, ?) ON CONFLICT (symbol) DO UPDATE SET"
                    " bar_offset = excluded.bar_offset, last_price = excluded.last_price,"
                    " quoted_at = excluded.quoted_at",
                    (cursor.symbol, cursor.offset, plain(cursor.last_price), cursor.quoted_at),
                )


def _order_row(order: Order, held: Held, at: int) -> tuple[Any, ...]:
    return (
        int(order.venue_order_id),
        order.client_order_id,
        order.symbol,
        order.side,
        order.type,
        plain(order.quantity),
        None if order.limit_price is None else plain(order.limit_price),
        int(order.reduce_only),
        order.status,
        plain(order.filled),
        plain(order.filled_notional),
        plain(order.fee),
        order.fee_currency,
        order.reason,
        held.asset,
        plain(held.amount),
        order.time,
        None if order.status in WORKING else at,
        order.time_in_force,
    )


def _fill_row(fill: Fill) -> tuple[Any, ...]:
    return (
        int(fill.fill_id),
        int(fill.venue_order_id),
        plain(fill.price),
        plain(fill.quantity),
        plain(fill.fee),
        fill.fee_currency,
        fill.time,
        fill.offset,
    )


def _lock(path: Path) -> int:
    """Take the lock beside the book; it is let go when the descriptor closes, hence also when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Fatal(
            f"the paper book {path} is open elsewhere; stop that process, or give this one its own book"
        ) from None
    return descriptor


# --------------------------------------------------------------------------------------------------- for checkers


@dataclass(frozen=True, slots=True, kw_only=True)
class BookTotals:
    """What a book adds up to, computed from its rows alone and not from its balances."""

    deposits: dict[str, Decimal]
    balances: dict[str, Decimal]
    """As the book states them."""
    derived: dict[str, Decimal]
    """As deposits and fills make them; equal to ``balances`` in a sound book."""
    quantities: dict[str, Decimal]
    """Net base units by symbol, bought less sold."""
    fees: dict[str, Decimal]
    """Paid, by currency."""
    orders: int
    open_orders: int
    fills: int
    client_order_ids: frozenset[str]
    """Of every order ever accepted."""

    def differences(self, ledger: Ledger) -> list[str]:
        """Where the book and a ledger disagree, in words; empty when they agree to the last digit."""
        found = [
            f"balance of {asset}: the book says {self.balances.get(asset, ZERO)}, its rows make {amount}"
            for asset, amount in sorted(self.derived.items())
            if self.balances.get(asset, ZERO) != amount
        ]
        for symbol, quantity in sorted(self.quantities.items()):
            if ledger.quantity(symbol) != quantity:
                found.append(f"position {symbol}: book {quantity}, ledger {ledger.quantity(symbol)}")
        found += [
            f"position {symbol}: book none, ledger {held.quantity}"
            for symbol, held in ledger.positions().items()
            if symbol not in self.quantities
        ]
        for currency in sorted({*self.fees, *ledger.currencies()}):
            if ledger.fees(currency) != self.fees.get(currency, ZERO):
                found.append(f"fees in {currency}: book {self.fees.get(currency)}, ledger {ledger.fees(currency)}")
        for asset, total in sorted(self.balances.items()):
            held = ledger.quantity(asset) if ":" in asset else ledger.holding(asset)
            if held != total:
                found.append(f"balance of {asset}: book {total}, ledger {held}")
        return found


def book_totals(path: str | Path) -> BookTotals:
    """The totals of a book, read without its lock; for a checker in another process.

    Raises:
        InvalidInput: there is no book.
    """
    if not Path(path).exists():
        raise InvalidInput("paper book", str(path), "the path of a paper book")
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)  # WAL needs its index file even to read
    try:
        db.set_busy_timeout(5_000)
        return _totals(db)
    finally:
        db.close()


def _totals(db: apsw.Connection) -> BookTotals:
    with db:  # one snapshot for all the reads
        deposits = _amounts(db.execute("SELECT asset, amount FROM deposits"))
        balances = _amounts(db.execute("SELECT asset, total FROM balances"))
        rows: list[tuple[Any, ...]] = db.execute(
            "SELECT o.symbol, o.side, f.price, f.quantity, f.fee, f.fee_currency FROM fills f"
            " JOIN orders o ON o.id = f.order_id ORDER BY f.id"
        ).fetchall()
        ids: list[tuple[Any, ...]] = db.execute("SELECT client_order_id, ended_at IS NULL FROM orders").fetchall()
    derived, quantities, fees = dict(deposits), dict[str, Decimal](), dict[str, Decimal]()
    for symbol, side, price, quantity, fee, fee_currency in rows:
        signed = Decimal(quantity) if side == "buy" else EXACT.minus(Decimal(quantity))
        _add(quantities, symbol, signed)
        _add(fees, fee_currency, Decimal(fee))
        _add(derived, symbol if ":" in symbol else base_of(symbol), signed)
        _add(derived, quote_of(symbol), EXACT.minus(EXACT.multiply(signed, Decimal(price))))
        _add(derived, fee_currency, EXACT.minus(Decimal(fee)))
    return BookTotals(
        deposits=deposits,
        balances=balances,
        derived=derived,
        quantities=quantities,
        fees=fees,
        orders=len(ids),
        open_orders=sum(is_open for _, is_open in ids),
        fills=len(rows),
        client_order_ids=frozenset(client_id for client_id, _ in ids),
    )


def _amounts(rows: Iterable[tuple[Any, ...]]) -> dict[str, Decimal]:
    return {asset: Decimal(amount) for asset, amount in rows}


def _add(sums: dict[str, Decimal], key: str, amount: Decimal) -> None:
    sums[key] = EXACT.add(sums.get(key, ZERO), amount)
