"""What an error of ccxt's means: for a submission, where it must be certain or else unknown, and for a read.

For a submission the first line that fits decides:

=============================================== =====================================================================
what happened                                   what it means
=============================================== =====================================================================
nothing was sent (ccxt or we refused to)        rejected; credentials; throttled, where it may work later
no connection came about                        throttled: nothing left this process
no answer: time-out, broken connection          unknown
HTTP 5xx, whatever it says                      unknown: both exchanges document that it may have succeeded
HTTP 418, 429; 403 with a page (a firewall)     throttled: it was turned away at the door
an answer that is not what was asked for        unknown
a text or a code that the profile knows         what the profile says
another code of the exchange with HTTP 4xx      rejected, under a profile: "malformed request" by documentation
ccxt's class, for exchanges without a profile   see ``_CLASSES``
anything else                                   unknown
=============================================== =====================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from tickwork.errors import InvalidInput, NotSent, NotYet, Rejected, Retryable, TickworkError, Unknown
from tickwork.venues.ccxt.library import library, retry_after_s
from tickwork.venues.ccxt.profiles import Meaning, Profile
from tickwork.venues.ccxt.wire import Call, Nonsense
from tickwork.venues.feeds.secrets import redacted

_LONGEST: Final = 300
_QUERY: Final = re.compile(r"(\w+://[^\s?]*)\?\S*")
_SIGNED: Final = re.compile(r"(?i)(signature=)\w+")

_CLASSES: Final[tuple[tuple[str, Meaning], ...]] = (
    ("DuplicateOrderId", "duplicate"),
    ("OrderNotFound", "absent"),
    ("RateLimitExceeded", "throttled"),
    ("DDoSProtection", "throttled"),
    ("InvalidNonce", "clock"),
    ("AuthenticationError", "credentials"),
    ("OnMaintenance", "not_yet"),
    ("MarketClosed", "not_yet"),
    ("InsufficientFunds", "rejected"),
    ("InvalidOrder", "rejected"),
    ("BadSymbol", "rejected"),
    ("BadRequest", "rejected"),
    ("OperationRejected", "rejected"),
    ("NotSupported", "rejected"),
)
"""ccxt's classes, the more special first. A plain ``ExchangeError`` or ``NetworkError`` says nothing."""


class Judge:
    """Reads one exchange's errors.

    Args:
        name: the venue's name, for errors.
        profile: what is known of the exchange.
        secrets: texts that are never said.
    """

    def __init__(self, name: str, profile: Profile, secrets: Iterable[str]) -> None:
        self.name = name
        self._profile = profile
        self._secrets = frozenset(secrets)

    def words(self, error: BaseException) -> str:
        """What may be said of an error: short, without secrets, signatures and what else a query holds."""
        text = _SIGNED.sub(r"\1***", _QUERY.sub(r"\1", " ".join(str(error).split())))
        return redacted(text, self._secrets)[:_LONGEST] or type(error).__name__

    def meaning(self, error: BaseException, call: Call) -> Meaning:
        """What ``error`` means for a submission that ``call`` was. See the module's table."""
        ccxt = library(self.name)
        if not call.sent:
            if isinstance(error, ccxt.AuthenticationError):
                return "credentials"
            return "throttled" if isinstance(error, ccxt.OperationFailed | TickworkError | OSError) else "rejected"
        if call.status is None:
            return "throttled" if _never_connected(error) else "unknown"
        if call.status >= 500:
            return "unknown"
        if call.status in (418, 429) or (call.status == 403 and call.answer is None):
            return "throttled"
        if isinstance(error, Nonsense | TickworkError) or not isinstance(call.answer, dict):
            return "unknown"
        return self._told(error, call)

    def _told(self, error: BaseException, call: Call) -> Meaning:
        """What the exchange itself said, in JSON."""
        said = str(call.answer).lower()
        for part, meaning in self._profile.words:
            if part in said:
                return meaning
        if call.code is not None and call.code in self._profile.codes:
            return self._profile.codes[call.code]
        failed = call.status is not None and call.status >= 400
        if self._profile.codes:
            return "rejected" if failed and call.code is not None else "unknown"
        return next((meaning for cls, meaning in self._classes() if isinstance(error, cls)), "unknown")

    def _classes(self) -> list[tuple[Any, Meaning]]:
        ccxt = library(self.name)
        return [(getattr(ccxt, cls), meaning) for cls, meaning in _CLASSES]

    def submission(self, meaning: Meaning, error: BaseException, call: Call) -> TickworkError:
        """The error that a submission ends with."""
        words = self.words(error)
        match meaning:
            case "credentials" if not call.sent:
                return self.without_key(words)
            case "rejected" | "no_market" | "credentials":
                return Rejected(self.name, words)
            case "not_yet":
                return NotYet(self.name, words)
            case "throttled":
                return NotSent(f"{self.name} took nothing: {words}{_later(call)}")
            case "clock":
                return NotSent(f"{self.name} finds our clock wrong, also after it was set by its own: {words}")
            case _:
                return Unknown(f"{self.name} left it open whether there is an order: {words}")

    def reading(self, error: BaseException, call: Call) -> TickworkError:
        """The error that a read ends with: ``InvalidInput`` for the key, else one that says to try again."""
        if isinstance(error, TickworkError):
            return error
        if not call.sent and isinstance(error, library(self.name).AuthenticationError):
            return self.without_key(self.words(error))
        if call.status is not None and call.status < 500 and self._is_about_the_key(error, call):
            found = f"a key that {self.name} turns away: {self.words(error)}"
            return InvalidInput(f"{self.name}.key", found, "a key and secret of this exchange that may read and trade")
        return Retryable(f"{self.name} cannot be asked: {self.words(error)}{_later(call)}")

    def without_key(self, words: str) -> InvalidInput:
        """The error of whoever gives no key, or not all of it."""
        return InvalidInput(f"{self.name}.key", "nothing", f"a key and secret: {words}")

    def _is_about_the_key(self, error: BaseException, call: Call) -> bool:
        """Does the exchange not accept who asks?"""
        ccxt = library(self.name)
        if call.code is not None and call.code in self._profile.codes:
            return self._profile.codes[call.code] == "credentials"
        return isinstance(error, ccxt.AuthenticationError)

    def is_absent(self, error: BaseException, call: Call) -> bool:
        """Does the exchange say that there is no such order? Nothing but an answer of its own counts."""
        if call.status is None or not 200 <= call.status < 500 or not isinstance(call.answer, dict):
            return False
        return self._told(error, call) == "absent"


def _later(call: Call) -> str:
    after = retry_after_s(call.headers)
    return "" if after is None else f" (to be asked again after {after:g} s)"


def _never_connected(error: BaseException) -> bool:
    """Certain that not a byte was sent: name not resolved, connection refused, no connection within the time."""
    import aiohttp  # noqa: PLC0415 - comes with ccxt

    seen: BaseException | None = error
    while seen is not None:
        # a connector raises before there is anything to write to
        if isinstance(seen, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
