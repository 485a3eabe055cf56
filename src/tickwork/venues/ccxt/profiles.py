"""What is known of single exchanges beyond what ccxt evens out: one table each, and one for all the others.

A profile is data. ``Meaning`` says what an exchange's error code means for a submission:

    rejected     the exchange looked at it and said no
    not_yet      it said no for now: the symbol does not trade yet, or is paused
    throttled    it did not look: too many requests
    clock        it did not look: our time is outside of what it accepts
    no_market    market orders are switched off; a limit order may still be taken
    duplicate    the client id was used before
    absent       there is no such order (of a query or a cancel)
    credentials  the key, its signature or its permissions
    unknown      the exchange itself does not know what became of it

A code that no table has is judged by its HTTP status; see ``verdicts``. Sources: the exchanges' documentation as
mirrored in ccxt's comments (``ccxt/mexc.py``, ``ccxt/binance.py``, 4.5.90), https://www.mexc.com/api-docs/spot-v3 and
https://developers.binance.com/docs/binance-spot-api-docs/errors. What they leave open is an assumption, and said to be.
"""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal

from tickwork.trading.order_life import OrderState
from tickwork.values import price

Meaning = Literal[
    "rejected", "not_yet", "throttled", "clock", "no_market", "duplicate", "absent", "credentials", "unknown"
]

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


def _as_it_is(key: str) -> str:
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """An exchange."""

    spelled: Callable[[str], str] = _as_it_is
    """How it wants a client id of 32 hex digits to be written; no two keys are written alike."""
    read: Callable[[str], str] = _as_it_is
    """Back from how it is written; what is nobody's key of ours stays as it is."""
    by_client_id: bool = False
    """An order can be asked for, and cancelled, by client id. Without it the lists are looked through."""
    strict: bool = False
    """Answers have the raw fields of Binance's spot API; their absence is nonsense, not an exchange's habit."""
    recv_window: bool = False
    """A request names how long it is valid."""
    visibility_bound: timedelta | None = None
    """What we assume where the user declares nothing; ``None``: nothing."""
    codes: Mapping[str, Meaning] = field(default_factory=lambda: _NONE)
    words: tuple[tuple[str, Meaning], ...] = ()
    """Parts of an error's text (in lower case) that say more than its code; looked at first, in order."""
    options: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    """Of ccxt: what spares requests that trading does not need."""
    has: Mapping[str, bool] = field(default_factory=lambda: _NONE)
    order_pace_s: float | None = None
    """Seconds between two orders, once four were let out at once; ``None``: the pace ccxt has for every request."""
    page: int | None = None
    """Trades that one answer holds at most; ``None``: what ccxt says of it."""
    paging: Literal["windows", "ids", "forward"] = "forward"
    """How all trades are got through: halved windows of time, ids from a number on, or from the last time on."""
    history: timedelta | None = None
    """How far back trades can be asked for."""
    step: Callable[[Mapping[str, Any]], tuple[Decimal, Decimal]] | None = None
    """Price tick and quantity step from a raw market, where ccxt's are finer than what the exchange takes."""
    rights: Callable[[Any, Any], Any] | None = None
    """``await rights(exchange, account)``: what the key may, as ``(trade, withdraw)``."""


STATES: Final[Mapping[str, OrderState]] = MappingProxyType(
    {
        "NEW": "acknowledged",
        "PENDING_NEW": "acknowledged",
        "PARTIALLY_FILLED": "partially_filled",
        "FILLED": "filled",
        "CANCELED": "cancelled",
        "CANCELLED": "cancelled",
        "PARTIALLY_CANCELED": "cancelled",
        "PENDING_CANCEL": "cancelling",
        "REJECTED": "rejected",
        "EXPIRED": "expired",
        "EXPIRED_IN_MATCH": "expired",
        # ccxt's own words, for exchanges whose raw ones nobody listed here
        "open": "acknowledged",
        "closed": "filled",
        "canceled": "cancelled",
        "canceling": "cancelling",
        "rejected": "rejected",
        "expired": "expired",
    }
)
"""What an exchange says of an order, and the state that it is before its fills are looked at."""


def _mexc_step(raw: Mapping[str, Any]) -> tuple[Decimal, Decimal]:
    """The coarser of the two that MEXC names for each.

    Quantities have ``baseAssetPrecision`` decimals and are at least, and by others' account multiples of,
    ``baseSizePrecision``; prices have ``quotePrecision`` or ``quoteAssetPrecision`` decimals. A multiple of the
    coarser is one of the finer, so it is right in either reading.
    """
    size = Decimal(str(raw.get("baseSizePrecision") or 0))
    digits = min(int(raw[name]) for name in ("quotePrecision", "quoteAssetPrecision") if raw.get(name) is not None)
    step = Decimal(1).scaleb(-int(raw["baseAssetPrecision"]))
    return price(Decimal(1).scaleb(-digits)), price(size if size > step and size % step == 0 else step)


async def _mexc_rights(_: Any, account: Any) -> tuple[Any, Any]:
    return account.get("canTrade"), account.get("canWithdraw")


async def _binance_rights(exchange: Any, _: Any) -> tuple[Any, Any]:
    # the account's own flags say what the account may; the key may less
    key = await exchange.sapiGetAccountApiRestrictions()
    return key.get("enableSpotAndMarginTrading"), key.get("enableWithdrawals")


def _codes(**meanings: str) -> Mapping[str, Meaning]:
    """Codes, by what they mean."""
    table: dict[str, Meaning] = {}
    for meaning, codes in meanings.items():
        table |= dict.fromkeys(codes.split(), meaning)  # type: ignore[arg-type]
    return MappingProxyType(table)


MEXC: Final = Profile(
    by_client_id=True,
    strict=True,
    recv_window=True,
    # nothing is documented; people report that a new order cannot be found for some seconds
    # (https://github.com/ccxt/ccxt/issues/21614): ten times what they saw
    visibility_bound=timedelta(seconds=30),
    codes=_codes(
        rejected="400 600 601 602 2005 10095 10096 10097 10098 10099 10101 10102 22222 26 30001 30002 30003 30004 30005"
        " 30014 30021 30025 30026 30027 30028 30029 30032 30041 30087 33333 44444 60005 70011 700004 700005 700008"
        " 730002 88013 88015 -1128 -1121",
        not_yet="10007 30000 30010 30016 30020 604 801 11444",
        throttled="429 510",
        clock="700003 10073",
        no_market="30018 30019 30051",
        duplicate="603",
        absent="-2011 -2013 2011",
        credentials="401 402 403 406 511 701 702 703 704 10001 10072 140002 700001 700002 700006 700007 700013 1000",
        unknown="500 501 503 504 20002 10259 10219",
    ),
    words=(
        ("duplicate", "duplicate"),
        ("client order id already exist", "duplicate"),
        ("api market order is disabled", "no_market"),
        ("order does not exist", "absent"),
        ("unknown order", "absent"),
        ("under maintenance", "not_yet"),
    ),
    options=MappingProxyType(
        {
            "fetchMarkets": {"types": {"spot": True, "swap": {"linear": False, "inverse": False}}},
            "useCcxtTradeId": False,
        }
    ),
    has=MappingProxyType({"fetchCurrencies": False}),
    order_pace_s=1 / 8,  # and four at once: never more than the 12 orders and cancels a second that are allowed
    page=100,
    paging="windows",
    history=timedelta(days=30),
    step=_mexc_step,
    rights=_mexc_rights,
)

BINANCE: Final = Profile(
    by_client_id=True,
    strict=True,
    recv_window=True,
    # "eventually consistent": data may be up to some seconds old; see the documentation's "Data sources"
    visibility_bound=timedelta(seconds=30),
    codes=_codes(
        rejected="-1013 -1010 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1108 -1111 -1114 -1115 -1116 -1117 -1118"
        " -1119 -1121 -1128 -1130 -1131 -2010 -1020 -1014 -1033 -1035",
        not_yet="-1112",
        throttled="-1003 -1015 -1034 -1008",
        clock="-1021",
        absent="-2013 -2011",
        credentials="-1002 -1022 -1099 -2008 -2014 -2015",
        unknown="-1000 -1001 -1004 -1006 -1007 -1016 -3000",
    ),
    words=(
        ("duplicate order sent", "duplicate"),
        ("order does not exist", "absent"),
        ("unknown order sent", "absent"),
        ("market orders are not supported for this symbol", "no_market"),
        ("market is closed", "not_yet"),
        ("this symbol is not permitted", "rejected"),
        ("unsupported order combination", "rejected"),
    ),
    options=MappingProxyType({"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}),
    page=1_000,
    paging="ids",
    rights=_binance_rights,
)

_GENERIC_WORDS: Final[tuple[tuple[str, Meaning], ...]] = (
    ("duplicate", "duplicate"),
    ("order does not exist", "absent"),
)

GENERIC: Final = Profile(words=_GENERIC_WORDS)
"""An exchange nobody wrote a table for: ccxt's classes decide, and "not found" is never proof."""


def _uuid(key: str) -> str:
    return str(uuid.UUID(hex=key))


def _from_uuid(told: str) -> str:
    return told.replace("-", "").lower() if len(told) == 36 else told


def _gate(key: str) -> str:
    return "t-" + urlsafe_b64encode(bytes.fromhex(key)).decode().rstrip("=")


def _from_gate(told: str) -> str:
    try:
        return urlsafe_b64decode(f"{told[2:]}==").hex() if len(told) == 24 and told[:2] == "t-" else told
    except ValueError:
        return told


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "mexc": MEXC,
        "binance": BINANCE,
        "kraken": Profile(words=_GENERIC_WORDS, spelled=_uuid, read=_from_uuid),
        "coinbase": Profile(words=_GENERIC_WORDS, spelled=_uuid, read=_from_uuid),
        "gate": Profile(words=_GENERIC_WORDS, spelled=_gate, read=_from_gate),
    }
)
"""By ccxt's name. Those beside MEXC and Binance know only how a client id is spelled."""
