"""Values with a unit or a rule: durations, times, money, prices, quantities, symbols.

Theory of operation. Everything here is a pure conversion that either gives an exact value or raises ``InvalidInput``
with the path of the field, what was found and what would be right. Three rules hold throughout:

* a duration names its unit, so a bare number is refused;
* a time knows its zone, so a naive ``datetime`` is refused; on the tape a time is integer nanoseconds since 1970 UTC;
* money, prices and quantities are ``Decimal`` and never pass through a float: ``Decimal(0.1)`` already carries the
  float's error, so a float is refused even where its value looks harmless.

Exactness. Python's default decimal context rounds to 28 digits *silently*, which a product of a price and a quantity
can exceed. ``EXACT`` is the context for adding and multiplying money: wide enough for every value that ``money`` lets
in, and it raises rather than rounds. Whoever must round does so on purpose, by ``rounded_down`` or ``rounded_up``.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import (
    ROUND_DOWN,
    ROUND_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
    Underflow,
)
from typing import Annotated, Any, Final, NamedTuple, NoReturn

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from tickwork.errors import InvalidInput

NS_PER_SECOND = 1_000_000_000
MAX_NS = 2**63 - 1
"""The largest time that fits the tape's 64-bit columns: the year 2262."""
LONGEST_NS = 36_525 * 86_400 * NS_PER_SECOND
"""The longest duration, 100 years: it is added to times, and the sum must fit the columns too."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# --------------------------------------------------------------------------------------------------------- durations

_NS_BY_UNIT: dict[str, int] = {}
for _ns, _names in (
    (1, "ns nanosecond nanoseconds"),
    (1_000, "us µs microsecond microseconds"),
    (1_000_000, "ms msec millisecond milliseconds"),
    (NS_PER_SECOND, "s sec secs second seconds"),
    (60 * NS_PER_SECOND, "m min mins minute minutes"),
    (3_600 * NS_PER_SECOND, "h hr hrs hour hours"),
    (86_400 * NS_PER_SECOND, "d day days"),
    (7 * 86_400 * NS_PER_SECOND, "w week weeks"),
):
    _NS_BY_UNIT.update(dict.fromkeys(_names.split(), _ns))

_PART = re.compile(r"(\d{1,19}(?:\.\d{1,9})?)\s*([A-Za-zµ]+)", re.ASCII)
_LONGEST_DURATION_TEXT = 64
_GOOD_DURATION = "a duration with its unit, such as '5 seconds', '30s', '90 min', '6h', '250ms', '1 day' or a timedelta"

DurationLike = timedelta | str
"""What the public API takes where a duration is due."""


def duration(value: object, path: str = "duration") -> int:
    """Nanoseconds of a duration given as ``timedelta`` or text.

    A text is one or more numbers, each followed by a unit: ``"5 seconds"``, ``"30s"``, ``"1h30m"``. Units are weeks,
    days (24 h), hours, minutes, seconds, ``ms``, ``us`` and ``ns``, in any spelling of that list and any case, except
    that a lone ``M`` is refused: exchanges use it for a calendar month.

    Raises:
        InvalidInput: a bare number, an unknown unit, a negative duration, a fraction of a nanosecond, or more than
            100 years.
    """
    if isinstance(value, timedelta):
        ns = (value // _MICROSECOND) * 1_000
    elif isinstance(value, str):
        ns = _parse_duration(value, path)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        raise InvalidInput(path, value, f"{_GOOD_DURATION}; a bare number names no unit")
    else:
        raise InvalidInput(path, repr(value)[:80], _GOOD_DURATION)
    if ns < 0:
        raise InvalidInput(path, value, f"{_GOOD_DURATION}, not a negative one")
    if ns > LONGEST_NS:
        raise InvalidInput(path, value, "a duration of at most 100 years")
    return ns


def _parse_duration(text: str, path: str) -> int:
    stripped = text.strip()
    if len(stripped) > _LONGEST_DURATION_TEXT:
        raise InvalidInput(path, text[:80], _GOOD_DURATION)
    if stripped.startswith("-"):
        raise InvalidInput(path, text, f"{_GOOD_DURATION}, not a negative one")
    total, end = Decimal(0), 0
    while end < len(stripped):
        part = _PART.match(stripped, end)
        if part is None:
            wanting = " (a number without a unit was found)" if re.fullmatch(r"[\d.]+", stripped[end:]) else ""
            raise InvalidInput(path, text, _GOOD_DURATION + wanting)
        number, unit = part.groups()
        ns = None if unit == "M" else _NS_BY_UNIT.get(unit.lower())
        if ns is None:
            expected = f"{_GOOD_DURATION}; {unit!r} is no unit of fixed length"
            raise InvalidInput(path, text, expected)
        total = EXACT.add(total, EXACT.multiply(Decimal(number), Decimal(ns)))
        end = part.end()
        while end < len(stripped) and stripped[end].isspace():
            end += 1
    if end == 0:
        raise InvalidInput(path, text, _GOOD_DURATION)
    if total != total.to_integral_value():
        raise InvalidInput(path, text, "a duration of whole nanoseconds")
    return int(total)


def duration_text(ns: int) -> str:
    """The shortest text that ``duration`` reads back as ``ns``: ``"90s"``, ``"1d"``, ``"250ms"``."""
    if ns == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if ns % _NS_BY_UNIT[unit] == 0:
            return f"{ns // _NS_BY_UNIT[unit]}{unit}"
    return f"{ns}ns"


def rounded_text(ns: int) -> str:
    """A duration for people, to a tenth of the largest unit of which there are two: ``"119.8s"``, ``"90m"``, ``"3d"``.

    A text without a decimal is exact: ``"30.0s"`` is a little more or less than ``"30s"``.
    """
    unit = next((unit for unit in ("d", "h", "m", "s", "ms", "us") if ns >= 2 * _NS_BY_UNIT[unit]), "ns" if ns else "s")
    whole, rest = divmod(ns, _NS_BY_UNIT[unit])
    if not rest:
        return f"{whole}{unit}"
    tenths = (20 * ns + _NS_BY_UNIT[unit]) // (2 * _NS_BY_UNIT[unit])
    return f"{tenths // 10}.{tenths % 10}{unit}"


def age_text(ns: int) -> str:
    """How long ago something was, for people: ``"50.8s old"``; below zero: ``"119.8s in the future"``."""
    return f"{rounded_text(abs(ns))} {'in the future' if ns < 0 else 'old'}"


def to_timedelta(value: object, path: str = "duration") -> timedelta:
    """Like ``duration``, as a ``timedelta``.

    Raises:
        InvalidInput: as ``duration``, or finer than a microsecond, which a ``timedelta`` cannot hold.
    """
    ns = duration(value, path)
    if ns % 1_000:
        raise InvalidInput(path, str(value), "a duration of whole microseconds")
    return timedelta(microseconds=ns // 1_000)


# ------------------------------------------------------------------------------------------------------------- times


def timestamp_ns(value: datetime, path: str = "time") -> int:
    """Integer nanoseconds since 1970-01-01 UTC of an aware ``datetime``; exact, without a float in between.

    Raises:
        InvalidInput: not a ``datetime``, a naive one, or one outside the years 1678 to 2261 that 64 bits hold.
    """
    if not isinstance(value, datetime):
        raise InvalidInput(path, repr(value)[:80], "an aware datetime, e.g. datetime(2026, 1, 1, tzinfo=UTC)")
    if value.utcoffset() is None:
        raise InvalidInput(
            path, value, "an aware datetime, e.g. datetime(2026, 1, 1, tzinfo=UTC); this one has no zone"
        )
    ns = ((value - _EPOCH) // _MICROSECOND) * 1_000
    if abs(ns) > MAX_NS:
        raise InvalidInput(path, value, "a time between the years 1678 and 2261")
    return ns


def from_ns(ns: int) -> datetime:
    """The aware UTC ``datetime`` of ``ns`` nanoseconds since 1970; what is finer than a microsecond is cut off."""
    return _EPOCH + timedelta(microseconds=ns // 1_000)


# ------------------------------------------------------------------------------------------------------------- money

EXACT = Context(prec=200, traps=[InvalidOperation, DivisionByZero, Overflow, Underflow, Inexact])
"""Adds and multiplies money without rounding; raises ``decimal.Inexact`` where a result would have to be rounded."""

_ROUND_DOWN = Context(prec=200, rounding=ROUND_DOWN)
_ROUND_UP = Context(prec=200, rounding=ROUND_UP)

# 30 digits before and 30 after the point: more than any currency has, few enough that sums and products of a few of
# them stay inside EXACT, and that a hostile "1e999999" cannot make a gigabyte of zeros.
_MAX_EXPONENT = 30
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


class Kind(NamedTuple):
    """What a number is, for whoever gives a wrong one."""

    what: str
    such: str
    """A good one, as a text."""


MONEY: Final = Kind("an amount of money", "'12.50'")
PRICE: Final = Kind("a price", "'12.50'")
QUANTITY: Final = Kind("a quantity", "'12.50'")
FRACTION: Final = Kind("a fraction", "'0.02' (2 %)")
MULTIPLE: Final = Kind("a multiple", "'2.5'")
LEVEL: Final = Kind("a level", "'30'")
DELTA: Final = Kind("a delta", "'0.3'")
DAYS: Final = Kind("a number of days", "'5'")


def _decimal(value: object, path: str, kind: Kind) -> Decimal:
    """The one door by which a number becomes money: exact, finite, of bounded size.

    Raises:
        InvalidInput: a float, NaN, infinity, a text that is no number, or more than 30 digits on a side of the point.
    """
    what, such = kind
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or not isinstance(value, int | str | float):
        raise InvalidInput(path, repr(value)[:80], f"{what} as a Decimal, a whole number or a text such as {such}")
    elif isinstance(value, float):
        due = "where money is due" if kind in (MONEY, PRICE, QUANTITY) else "which is not exact"
        raise InvalidInput(path, value, f"{what} as a Decimal or a text such as {such}, not a float {due}")
    elif isinstance(value, int):
        if value.bit_length() > 128:
            raise InvalidInput(path, "a very large integer", f"{what} of at most {_MAX_EXPONENT} digits")
        number = Decimal(value)
    elif len(value) > 80 or not _NUMBER.fullmatch(value.strip()):
        raise InvalidInput(path, value[:80], f"{what} as a text such as {such}")
    else:
        number = Decimal(value.strip())
    if not number.is_finite():
        raise InvalidInput(path, number, f"{what} that is finite")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_MAX_EXPONENT or number.adjusted() >= _MAX_EXPONENT:
        raise InvalidInput(
            path, str(number)[:80], f"{what} of at most {_MAX_EXPONENT} digits on each side of the point"
        )
    # a positive exponent ("1E+3") and a negative zero would print oddly on the wire
    return abs(number) if number.is_zero() else number if exponent <= 0 else number.quantize(Decimal(1), context=EXACT)


def money(value: object, path: str = "money", kind: Kind = MONEY) -> Decimal:
    """An amount of some currency, or another number (``kind``), of either sign.

    Raises:
        InvalidInput: a float, NaN, infinity, not a number, or more than 30 digits on a side of the point.
    """
    return _decimal(value, path, kind)


def price(value: object, path: str = "price", kind: Kind = PRICE) -> Decimal:
    """A price: quote currency per unit of base; or another number (``kind``) above zero.

    Raises:
        InvalidInput: as ``money``, or not above zero.
    """
    number = _decimal(value, path, kind)
    if number <= 0:
        such = "" if kind is PRICE else f", such as {kind.such}"
        raise InvalidInput(path, number, f"{kind.what} above zero{such}")
    return number


def quantity(value: object, path: str = "quantity", kind: Kind = QUANTITY) -> Decimal:
    """A quantity of the base asset, in its own units; zero or more (the side of an order says which way).

    Or another number (``kind``) of zero or more.

    Raises:
        InvalidInput: as ``money``, or below zero.
    """
    number = _decimal(value, path, kind)
    if number < 0:
        such = "" if kind is QUANTITY else f", such as {kind.such}"
        raise InvalidInput(path, number, f"{kind.what} of zero or more{such}")
    return number


def plain(value: Decimal) -> str:
    """The text of a decimal without an exponent: ``"0.00000001"``, never ``"1E-8"``. What goes over a wire."""
    return format(value, "f")


def rounded_down(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of ``step`` (above zero) nearest to ``value`` toward zero."""
    return _to_step(value, step, _ROUND_DOWN)


def rounded_up(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of ``step`` (above zero) nearest to ``value`` away from zero."""
    return _to_step(value, step, _ROUND_UP)


def ratio(value: Decimal, by: Decimal) -> Decimal:
    """``value / by``, cut toward zero at 200 digits: for a quotient that is then cut to a step."""
    return _ROUND_DOWN.divide(value, by)


def _to_step(value: Decimal, step: Decimal, context: Context) -> Decimal:
    if not step.is_finite() or step <= 0:
        raise InvalidInput("step", step, "a step above zero")
    # the quotient may be endless (a third), so it is cut by the same context that then makes it whole: cutting twice
    # in one direction never goes past the true multiple
    steps = int(context.divide(value, step).to_integral_value(rounding=context.rounding))
    return EXACT.multiply(Decimal(steps), step)  # by way of int, so that the result prints like its step, not as 1.2E+5


# ----------------------------------------------------------------------------------------------------------- symbols

_PAIR = re.compile(r"[A-Z0-9][A-Z0-9.\-_$]{0,31}/[A-Z0-9]{1,16}(:[A-Z0-9]{1,16}(-[A-Z0-9\-]{1,24})?)?", re.ASCII)
_EQUITY = re.compile(r"\^?[A-Z][A-Z0-9]{0,9}([.\-][A-Z0-9]{1,4})?", re.ASCII)
_GOOD_SYMBOL = "a symbol such as 'BTC/USDT', 'BTC/USDT:USDT' (a contract settled in USDT) or 'AAPL'"


def symbol(value: object, path: str = "symbol") -> str:
    """Check a symbol: ccxt's unified form for pairs and contracts, the plain ticker for equities.

    Raises:
        InvalidInput: anything else, including lower case and exchanges' own forms such as ``btc_usdt``.
    """
    if isinstance(value, str) and (_PAIR.fullmatch(value) or _EQUITY.fullmatch(value)):
        return value
    raise InvalidInput(path, value if isinstance(value, str) else repr(value)[:80], _GOOD_SYMBOL)


def base_of(name: str) -> str:
    """The asset that a symbol is about: ``BTC`` of ``BTC/USDT``, ``AAPL`` of ``AAPL``."""
    return name.partition("/")[0]


def quote_of(name: str, default: str = "USD") -> str:
    """What a symbol is paid in: a contract's settlement currency, else the quote currency; ``default`` for equities."""
    pair, _, settle = name.partition(":")
    if settle:
        return settle.partition("-")[0]
    return pair.partition("/")[2] or default


# ---------------------------------------------------------------------------------------------------- pydantic types


def _complain(error: InvalidInput) -> NoReturn:
    # pydantic knows the path of the field; only what was expected is ours to say, in pydantic's own words for it
    raise PydanticCustomError("tickwork", "Input should be {expected}", {"expected": error.expected}) from None


def _as_duration(value: Any) -> timedelta:
    try:
        return to_timedelta(value)
    except InvalidInput as error:
        _complain(error)


def _as_money(value: Any) -> Decimal:
    try:
        return money(value)
    except InvalidInput as error:
        _complain(error)


def _as_price(value: Any) -> Decimal:
    try:
        return price(value)
    except InvalidInput as error:
        _complain(error)


def _as_quantity(value: Any) -> Decimal:
    try:
        return quantity(value)
    except InvalidInput as error:
        _complain(error)


def _as_symbol(value: Any) -> str:
    try:
        return symbol(value)
    except InvalidInput as error:
        _complain(error)


def _timedelta_text(value: timedelta) -> str:
    return duration_text(duration(value))


_ON_THE_WIRE = PlainSerializer(plain, return_type=str, when_used="json")

Duration = Annotated[
    timedelta,
    BeforeValidator(_as_duration),
    PlainSerializer(_timedelta_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["5 seconds", "30s", "6h", "1 day"]}),
]
"""A field that takes ``"30s"`` or a ``timedelta`` and holds a ``timedelta``; a text on the wire."""

_NUMBER_SCHEMA: Final = {"type": "string", "maxLength": 80, "pattern": r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?$"}

Money = Annotated[
    Decimal, BeforeValidator(_as_money), _ON_THE_WIRE, WithJsonSchema({**_NUMBER_SCHEMA, "examples": ["12.50"]})
]
"""An amount of some currency; ``Decimal`` inside, a text on the wire, never a float."""

Price = Annotated[
    Decimal, BeforeValidator(_as_price), _ON_THE_WIRE, WithJsonSchema({**_NUMBER_SCHEMA, "examples": ["67012.35"]})
]
"""Quote currency per unit of base, above zero; ``Decimal`` inside, a text on the wire, never a float."""

Quantity = Annotated[
    Decimal, BeforeValidator(_as_quantity), _ON_THE_WIRE, WithJsonSchema({**_NUMBER_SCHEMA, "examples": ["0.015"]})
]
"""Units of the base asset, zero or more; ``Decimal`` inside, a text on the wire, never a float."""

Symbol = Annotated[
    str, BeforeValidator(_as_symbol), WithJsonSchema({"type": "string", "examples": ["BTC/USDT", "BTC/USDT:USDT"]})
]
"""A symbol in ccxt's unified form, or an equity's ticker."""
