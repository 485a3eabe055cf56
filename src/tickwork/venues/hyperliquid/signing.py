"""Hyperliquid's actions, signed offline with the project's own SDK (``hyperliquid-python-sdk``, an extra).

The SDK knows the wire form of actions and how they are hashed and signed (msgpack, keccak, EIP-712 with a phantom
agent). Its client is not used: it is synchronous, so a call would go on in a thread after whoever awaited it is gone;
it makes sizes and prices of floats; its expiry is one setting that all its calls share; and what it raises does not
tell a request that never left from one that nobody answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, Literal

from tickwork.errors import InvalidInput
from tickwork.values import plain

_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)
_NS_PER_MS: Final = 1_000_000

Tif = Literal["Gtc", "Ioc"]


class Signer:
    """Makes signed requests of one account.

    Args:
        key: the private key: of an agent ("API wallet") the account has approved, or its own.
        vault: the sub-account or vault that is traded for; ``None``: the account that approved the agent itself.
        mainnet: which network the signatures are for; one is none on the other.
        clock: ns since 1970 UTC; nonces are its milliseconds, each higher than the last.
        path: of the key, for errors.

    Raises:
        InvalidInput: no SDK, or a key that is none.
    """

    def __init__(self, key: str, *, vault: str | None, mainnet: bool, clock: Callable[[], int], path: str) -> None:
        if not _KEY.fullmatch(key):
            raise InvalidInput(path, "something else", "a private key: 64 hex digits, with or without 0x")
        try:
            from eth_account import Account  # noqa: PLC0415 - a third of a second; and it is an extra
            from hyperliquid.utils import signing  # noqa: PLC0415
        except ImportError as error:
            found = f"hyperliquid-python-sdk cannot be imported ({error})"
            raise InvalidInput(path, found, "the extra: pip install 'tickwork[hyperliquid]'") from None
        try:
            self._wallet = Account.from_key(key)
        except ValueError:  # a number that is no key of this curve
            raise InvalidInput(path, "a number that is no key", "a private key") from None
        self._signing = signing
        self._vault = vault
        self._mainnet = mainnet
        self._clock = clock
        self._nonce = 0
        self.address: str = self._wallet.address.lower()
        """Of the key."""

    def order(
        self,
        *,
        asset: int,
        buys: bool,
        price: Decimal,
        size: Decimal,
        reduce_only: bool,
        tif: Tif,
        key: str,
        expires_ms: int,
    ) -> dict[str, Any]:
        """A request that places one order, and is good for nothing after ``expires_ms``."""
        wire = {
            "a": asset,
            "b": buys,
            "p": _number(price),
            "s": _number(size),
            "r": reduce_only,
            "t": {"limit": {"tif": tif}},
            "c": cloid(key),
        }
        return self.signed(self._signing.order_wires_to_order_action([wire]), expires_ms)

    def cancel(self, asset: int, key: str) -> dict[str, Any]:
        """A request that cancels an order."""
        return self.signed({"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": cloid(key)}]})

    def leverage(self, asset: int, leverage: int, *, cross: bool, expires_ms: int) -> dict[str, Any]:
        """A request that sets the leverage of a contract."""
        action = {"type": "updateLeverage", "asset": asset, "isCross": cross, "leverage": leverage}
        return self.signed(action, expires_ms)

    def signed(self, action: dict[str, Any], expires_ms: int | None = None) -> dict[str, Any]:
        """What ``/exchange`` takes. The order of an action's fields is part of what is signed."""
        self._nonce = nonce = max(self._nonce + 1, self._clock() // _NS_PER_MS)
        signature = self._signing.sign_l1_action(self._wallet, action, self._vault, nonce, expires_ms, self._mainnet)
        return {
            "action": action,
            "nonce": nonce,
            "signature": signature,
            "vaultAddress": self._vault,
            "expiresAfter": expires_ms,
        }


def cloid(key: str) -> str:
    """A client id of ours as Hyperliquid writes it: 128 bits in hex."""
    return f"0x{key}"


def _number(value: Decimal) -> str:
    """As Hyperliquid writes numbers: no zeros at the end. It hashes its own spelling, and another has another hash."""
    return plain(value.normalize())
