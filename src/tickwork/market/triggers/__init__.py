"""Triggers: what happens in a market, declared on the workflows it starts.

    @workflow("momentum", on=PriceChange("BTC/USDT", "0.02"))

Triggers on bars are pure objects that read bars and say when something has happened. A trigger reads one stream: one
symbol at one venue in bars of one length. Bars of other symbols pass it by, and where the trigger names a venue or a
bar length (``interval``), those of others too; so does a bar that is not newer than the last, which makes a redelivered
bar harmless. What the trigger does not name it takes from the first bar, and a bar of another stream is then an error:
mixed streams would show moves that no market made.

They are *edge-triggered*. A trigger fires once when its condition becomes true, stays silent while it remains true, and
is armed again when it becomes false. A price change that turns from one side straight to the other has crossed again,
and fires again.

Arithmetic is exact: conditions are compared by multiplication, so a change of precisely the threshold fires, whatever
its digits. ``state()`` is plain JSON from which ``from_state`` goes on.

Triggers on news are filters of ``NewsItem``.
"""

from __future__ import annotations

from tickwork.market.triggers.base import BarTrigger, Fired, bar_of
from tickwork.market.triggers.news import BreakingNews, NewsSentiment
from tickwork.market.triggers.options import Direction, bars_of
from tickwork.market.triggers.price_change import PriceChange, PriceChanged
from tickwork.market.triggers.price_cross import PriceCross, PriceCrossed
from tickwork.market.triggers.volatility import Volatility, VolatilityRose
from tickwork.market.triggers.volume_spike import VolumeSpike, VolumeSpiked

__all__ = [
    "BarTrigger",
    "BreakingNews",
    "Direction",
    "Fired",
    "NewsSentiment",
    "PriceChange",
    "PriceChanged",
    "PriceCross",
    "PriceCrossed",
    "Volatility",
    "VolatilityRose",
    "VolumeSpike",
    "VolumeSpiked",
    "bar_of",
    "bars_of",
]
