"""What a configuration says of an account: ``[accounts.<name>]`` in ``tickwork.toml``.

    [accounts.main]
    venue = "mexc"                      # any exchange of ccxt's, alpaca, hyperliquid
    symbols = ["BTC/USDT"]
    capital = "1000"                    # how much of what is there is ours to trade with

    [accounts.main.risk.account]
    max_order_notional = "100"
    max_position_notional = "300"

Keys are named, never written: ``key_env`` and ``secret_env`` are names of environment variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tickwork.errors import InvalidInput
from tickwork.trading.limits import RiskRules, read_rules
from tickwork.values import Duration, Symbol

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OWN_NAMES: Final = {
    "hyperliquid": ("HYPERLIQUID_ACCOUNT", "HYPERLIQUID_PRIVATE_KEY"),
}
"""Environment variables of venues where they are not called ``<VENUE>_API_KEY`` and ``<VENUE>_SECRET_KEY``."""


def _variable(value: str) -> str:
    if value and not _NAME.fullmatch(value):
        raise ValueError("the name of an environment variable, not a key itself")
    return value


def _text(value: object) -> object:
    if isinstance(value, float):
        raise ValueError(f'a text such as "{value}": a float is not exact')  # noqa: TRY004 - pydantic's way
    return value


Variable = Annotated[str, AfterValidator(_variable)]
Amount = Annotated[Decimal, BeforeValidator(_text), Field(gt=0, allow_inf_nan=False)]
OnOrphan = Literal["cancel", "adopt", "leave"]
OnBalance = Literal["adopt", "leave", "ask"]


class AccountConfig(BaseModel):
    """One account at one venue."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    venue: str
    """``paper``, ``alpaca``, ``hyperliquid`` or an exchange of ccxt's."""
    symbols: tuple[Symbol, ...] = Field(min_length=1)
    """What it trades, and nothing else."""
    capital: Amount
    """How much of what is there is ours to trade with; on paper, what is paid in. In ``currency``."""
    currency: str = "USDT"
    owner: str = ""
    risk: dict[str, Any]
    """``trading.limits.read_rules``: tables ``account``, ``workflows``, ``symbols``."""
    key_env: Variable = ""
    """By default ``<VENUE>_API_KEY``."""
    secret_env: Variable = ""
    """By default ``<VENUE>_SECRET_KEY``."""
    withdrawals: str = ""
    """Why a key is used that may withdraw. Without a reason such a key is refused."""
    url: str = ""
    """Of a gateway, or a simulated exchange, in place of the venue's own."""
    feed: str = ""
    """Whose prices are looked at: an exchange of ccxt's; by default the venue."""
    bars: str = ""
    """Length of the bars that are asked for besides quotes, e.g. ``1m``; empty: none."""
    quotes_every: Duration = Field(default="1s", validate_default=True)
    poll: Duration = Field(default="1s", validate_default=True)
    """How often the venue is asked what became of orders."""
    reconcile_every: Duration = Field(default="5 minutes", validate_default=True)
    on_orphan_order: OnOrphan = "leave"
    """Orders at the venue that are not ours."""
    on_orphan_balance: OnBalance = "ask"
    fee_rate: Annotated[Decimal, BeforeValidator(_text), Field(ge=0, lt=1, allow_inf_nan=False)] = Decimal("0.001")
    """What a fill costs, a fraction of it: on paper, and where documents ask."""
    settings: dict[str, Any] = {}
    """Further settings of the venue's client."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.venue == "paper" and not self.feed:
            raise ValueError(
                'feed: whose prices and rules it trades by, e.g. feed = "binance"; paper has none of its own'
            )
        return self

    def rules(self, name: str) -> RiskRules:
        """The limits.

        Raises:
            InvalidInput: one that is wrong; with its path.
        """
        return read_rules({"currency": self.currency, **self.risk}, f"accounts.{name}.risk")

    def names_of_keys(self) -> tuple[str, str]:
        """The environment variables that hold key and secret."""
        venue = re.sub(r"\W", "_", self.venue, flags=re.ASCII).upper()
        key, secret = _OWN_NAMES.get(self.venue, (f"{venue}_API_KEY", f"{venue}_SECRET_KEY"))
        return self.key_env or key, self.secret_env or secret

    def keys(self, name: str, env: Mapping[str, str]) -> tuple[str, str]:
        """Key and secret.

        Raises:
            InvalidInput: a variable is not set; names it.
        """
        key, secret = (
            (env.get(variable, "").strip(), variable, field)
            for variable, field in zip(self.names_of_keys(), ("key_env", "secret_env"), strict=True)
        )
        for value, variable, field in (key, secret):
            if not value:
                raise InvalidInput(
                    f"accounts.{name}.{field}", "nothing", f"the environment variable {variable} to be set"
                )
        return key[0], secret[0]
