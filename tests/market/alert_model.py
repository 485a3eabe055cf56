"""Price alerts written as their description reads: every alert looks at every price. Slow, and easy to check."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from hypothesis import strategies as st

from tests.market.support import decimals
from tickwork.market.alerts import PriceAlert

SECOND = 10**9

Told = tuple[Literal["fired", "rearmed"], str, int]
"""What, whose id, at which time (ns)."""


@dataclass
class Standing:
    """One alert."""

    alert: PriceAlert
    set_after: int | None
    """Time of the newest price when it was set."""
    fired_at: int | None = None
    """``None``: it is armed."""
    cooled: bool = False

    def reached(self, price: Decimal) -> bool:
        alert = self.alert
        return price >= alert.threshold if alert.condition == "above" else price <= alert.threshold

    def left(self, price: Decimal) -> bool:
        alert = self.alert
        if alert.condition == "above":
            return price < alert.threshold * (1 - alert.hysteresis)
        return price > alert.threshold * (1 + alert.hysteresis)

    def armed_by(self, stood: Decimal | None, price: Decimal, at: int) -> bool:
        """One that has fired: do these prices arm it?"""
        assert self.fired_at is not None
        if at < self.fired_at + self.alert.cooldown_ns:
            return False
        first, self.cooled = not self.cooled, True
        # the price that stood when the cooldown was over counts too
        return self.left(price) or (first and stood is not None and self.left(stood))


@dataclass
class Model:
    """All alerts. It can be copied and gone back to."""

    standing: dict[str, Standing] = field(default_factory=dict)
    newest: dict[str, tuple[Decimal, int]] = field(default_factory=dict)
    """Price and time by symbol."""
    told: list[Told] = field(default_factory=list)

    def set(self, alert: PriceAlert) -> None:
        newest = self.newest.get(alert.symbol)
        self.standing[alert.id] = Standing(alert, None if newest is None else newest[1])

    def cancel(self, id: str) -> bool:
        return self.standing.pop(id, None) is not None

    def price(self, symbol: str, price: Decimal, at: int) -> None:
        stood, since = self.newest.get(symbol, (None, at))
        if at < since:
            return
        self.newest[symbol] = (price, at)
        rearmed: list[Told] = []
        fired: list[Told] = []
        for id, one in sorted(self.standing.items()):
            if one.alert.symbol == symbol:
                if one.fired_at is not None and one.armed_by(stood, price, at):
                    one.fired_at, one.set_after, one.cooled = None, None, False
                    rearmed.append(("rearmed", id, at))
                if one.fired_at is None and self._fires(one, price, at):
                    fired.append(("fired", id, at))
        self.told += [*rearmed, *fired]

    def _fires(self, one: Standing, price: Decimal, at: int) -> bool:
        if (one.set_after is not None and at <= one.set_after) or not one.reached(price):
            return False
        if one.alert.recurring:
            one.fired_at, one.cooled = at, not one.alert.cooldown_ns
        else:
            del self.standing[one.alert.id]
        return True


SYMBOLS = ["BTC/USDT", "ETH/USDT"]


@st.composite
def price_alerts(draw: st.DrawFn) -> PriceAlert:
    """Alerts of few ids, so that they replace each other, with thresholds near each other."""
    id = draw(st.sampled_from("abcdefgh"))
    return PriceAlert(
        id,
        f"owner-{id in 'abcd'}",
        draw(st.sampled_from(SYMBOLS)),
        draw(st.sampled_from(["above", "below"])),
        draw(decimals("95", "105", 0)),
        draw(st.booleans()),
        draw(st.sampled_from(["0s", "2s", "5s"])),
        draw(st.sampled_from(["0", "0.01", "0.03"])),
    )


symbols = st.sampled_from(SYMBOLS)
prices = decimals("93", "107", 0)
