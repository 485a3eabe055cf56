"""Incremental indicators: one number in, one number out, constant memory, state that survives a crash.

Each indicator has ``update(...)``, which takes the next bar's number(s) and returns the indicator's new value, or
``None`` while it has seen too little; ``value``, the latest; and ``state()``, plain JSON from which ``from_state``
makes an equal indicator: continuing either gives the same numbers to the last bit. Floats are right here: these are
scores, not money.

Definitions are those of TA-Lib, which the tests hold them against: an exponential average starts from the simple
average of its first ``period`` values; Wilder's average of RSI and ATR likewise, then ``(old * (n - 1) + new) / n``;
the two averages inside MACD start at the same bar. One deliberate difference: the RSI of a market that has not moved at
all is 50, where TA-Lib says 0, which every rule would read as "heavily oversold, buy".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, NamedTuple, Self

from tickwork.errors import InvalidInput

State = dict[str, Any]
"""Plain JSON: numbers, texts, lists, nulls and the states of inner indicators."""


def _checked(value: float, where: str) -> float:
    # NaN would stay inside an average for ever, so it must not get in
    if not isfinite(value):
        raise InvalidInput(where, repr(value), "a finite number")
    return value


def _period(value: object, where: str, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidInput(where, value, f"a whole number of bars, at least {least}")
    return value


class _Indicator:
    """The state of an indicator is its slots, by name; a subclass with inner indicators says how they are kept."""

    __slots__: tuple[str, ...] = ()
    kind: ClassVar[str]

    def state(self) -> State:
        """Everything needed to go on, as plain JSON."""
        fields = {name.removeprefix("_"): _plain(getattr(self, name)) for name in self.__slots__}
        return {"kind": self.kind, **fields}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """An indicator that goes on where the one that gave the state stood.

        Raises:
            InvalidInput: the state of another kind of indicator, or not a complete one.
        """
        wanted = {name.removeprefix("_") for name in cls.__slots__} | {"kind"}
        if state.get("kind") != cls.kind or set(state) != wanted:
            raise InvalidInput("state", str(dict(state))[:200], f"what {cls.__name__}.state() gave")
        made = cls.__new__(cls)
        for name in cls.__slots__:
            object.__setattr__(made, name, _revived(state[name.removeprefix("_")]))
        return made


def _plain(value: object) -> object:
    if isinstance(value, _Indicator):
        return value.state()
    return list(value) if isinstance(value, deque | tuple) else value


def _revived(value: Any) -> Any:
    if isinstance(value, list):
        return deque(value)
    if isinstance(value, Mapping):
        inner = _KINDS.get(value.get("kind", ""))
        if inner is None:
            raise InvalidInput("state.kind", value.get("kind"), f"one of {', '.join(_KINDS)}")
        return inner.from_state(value)
    return value


class SMA(_Indicator):
    """Simple moving average: the mean of the last ``period`` values."""

    __slots__ = ("_fresh", "_period", "_sum", "_window", "value")
    kind = "sma"

    def __init__(self, period: int) -> None:
        self._period = _period(period, "sma.period")
        self._window: deque[float] = deque()
        self._sum = 0.0
        self._fresh = 0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        """Take the next value; the mean, or None before the ``period``-th."""
        window = self._window
        window.append(_checked(value, "sma"))
        self._sum += value
        if len(window) > self._period:
            self._sum -= window.popleft()
            self._fresh += 1
            if self._fresh == self._period:
                # adding and taking away leaves rounding behind: once per window, sum anew
                self._sum = sum(window)
                self._fresh = 0
        if len(window) == self._period:
            self.value = self._sum / self._period
        return self.value


class EMA(_Indicator):
    """Exponential moving average with weight ``2 / (period + 1)``, started from a simple one."""

    __slots__ = ("_period", "_seen", "_sum", "_weight", "value")
    kind = "ema"

    def __init__(self, period: int) -> None:
        self._period = _period(period, "ema.period")
        self._weight = 2.0 / (period + 1)
        self._seen = 0
        self._sum = 0.0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        """Take the next value; the average, or None before the ``period``-th."""
        _checked(value, "ema")
        if self.value is not None:
            self.value += (value - self.value) * self._weight
        else:
            self._seen += 1
            self._sum += value
            if self._seen == self._period:
                self.value = self._sum / self._period
        return self.value


class _Wilder(_Indicator):
    """Wilder's smoothing: starts from the mean of ``period`` values, then forgets a ``period``-th at each step."""

    __slots__ = ("_period", "_seen", "_sum", "value")
    kind = "wilder"

    def __init__(self, period: int) -> None:
        self._period = period
        self._seen = 0
        self._sum = 0.0
        self.value: float | None = None

    def update(self, value: float) -> float | None:
        """Take the next value; the average, or None before the ``period``-th."""
        if self.value is not None:
            self.value = (self.value * (self._period - 1) + value) / self._period
        else:
            self._seen += 1
            self._sum += value
            if self._seen == self._period:
                self.value = self._sum / self._period
        return self.value


class RSI(_Indicator):
    """Wilder's relative strength index, 0 to 100; 50 when nothing has moved."""

    __slots__ = ("_gain", "_last", "_loss", "value")
    kind = "rsi"

    def __init__(self, period: int = 14) -> None:
        _period(period, "rsi.period", least=2)
        self._gain = _Wilder(period)
        self._loss = _Wilder(period)
        self._last: float | None = None
        self.value: float | None = None

    def update(self, close: float) -> float | None:
        """Take the next close; the index, or None before ``period + 1`` closes."""
        last, self._last = self._last, _checked(close, "rsi")
        if last is None:
            return None
        change = close - last
        gain = self._gain.update(max(change, 0.0))
        loss = self._loss.update(max(-change, 0.0))
        if gain is not None and loss is not None:
            moved = gain + loss
            self.value = 100.0 * gain / moved if moved > 0 else 50.0
        return self.value


class MacdValue(NamedTuple):
    """The MACD line, its signal line and the difference of the two."""

    macd: float
    signal: float
    histogram: float


class MACD(_Indicator):
    """Moving average convergence/divergence: fast average minus slow average, and an average of that."""

    __slots__ = ("_fast", "_signal", "_skip", "_slow", "value")
    kind = "macd"

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        _period(fast, "macd.fast", least=2)
        _period(slow, "macd.slow", least=fast + 1)
        self._fast = EMA(fast)
        self._slow = EMA(slow)
        self._signal = EMA(_period(signal, "macd.signal"))
        # the fast average begins late, so that both start at the same bar
        self._skip = slow - fast
        self.value: MacdValue | None = None

    def update(self, close: float) -> MacdValue | None:
        """Take the next close; the three lines, or None before ``slow + signal - 1`` closes."""
        slow = self._slow.update(_checked(close, "macd"))
        if self._skip:
            self._skip -= 1
            return None
        fast = self._fast.update(close)
        if fast is None or slow is None:
            return None
        line = fast - slow
        signal = self._signal.update(line)
        if signal is not None:
            self.value = MacdValue(line, signal, line - signal)
        return self.value

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """See ``_Indicator.from_state``."""
        made = super().from_state(state)
        if made.value is not None:
            made.value = MacdValue(*made.value)
        return made


class ATR(_Indicator):
    """Wilder's average true range, in units of price."""

    __slots__ = ("_average", "_close")
    kind = "atr"

    def __init__(self, period: int = 14) -> None:
        self._average = _Wilder(_period(period, "atr.period"))
        self._close: float | None = None

    @property
    def value(self) -> float | None:
        """The latest average, None before ``period + 1`` bars."""
        return self._average.value

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take the next bar; the average true range, or None before ``period + 1`` bars.

        Raises:
            InvalidInput: a number that is not finite, or a close outside of low and high.
        """
        for number in (high, low, close):
            _checked(number, "atr")
        if not low <= close <= high:
            raise InvalidInput("atr", f"high {high} low {low} close {close}", "a close between low and high")
        last, self._close = self._close, close
        if last is None:
            return None
        return self._average.update(max(high, last) - min(low, last))


_KINDS: dict[str, type[_Indicator]] = {cls.kind: cls for cls in (SMA, EMA, _Wilder, RSI, MACD, ATR)}
