"""How much may be asked in a while."""

from __future__ import annotations

from tickwork.values import NS_PER_SECOND


class Limits:
    """A weight of requests per key and window; who goes on asking after being told is banned.

    Args:
        weight: so much per window. MEXC: 500 in 10 s; Binance: 6,000 in a minute.
        window: ns.
        ban_after: refused calls in one window that bring a ban.
        ban: of how many ns.
    """

    def __init__(
        self,
        weight: int = 500,
        window: int = 10 * NS_PER_SECOND,
        ban_after: int = 100,
        ban: int = 120 * NS_PER_SECOND,
    ) -> None:
        self.weight = weight
        self.window = window
        self.ban_after = ban_after
        self.ban = ban
        self.refused = 0
        """Calls that were refused."""
        self._used: dict[str, tuple[int, int, int]] = {}
        self._banned: dict[str, int] = {}

    def take(self, key: str, weight: int, now: int) -> tuple[int, int] | None:
        """Whether a call may go on (``None``), or the HTTP status that it gets and how long (ns) to stay away."""
        until = self._banned.get(key, 0)
        if now < until:
            self.refused += 1
            return 418, until - now
        start = now - now % self.window
        begun, used, refused = self._used.get(key, (start, 0, 0))
        if begun != start:
            used = refused = 0
        used += weight
        if used <= self.weight:
            self._used[key] = (start, used, refused)
            return None
        self.refused += 1
        self._used[key] = (start, used - weight, refused + 1)
        if refused + 1 >= self.ban_after:
            self._banned[key] = now + self.ban
            return 418, self.ban
        return 429, start + self.window - now
