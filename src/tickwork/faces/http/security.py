"""The rules of who is let in: names, sites, limits. What they mean is in ``guard``."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from tickwork.errors import InvalidInput
from tickwork.service.api.caller import checked_scopes

_REMEMBERED: Final = 1_024
"""Hosts and addresses whose kind is not looked at again."""
LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken. Halting has room of its own."""

    body_bytes: int = 1 << 20
    """Of one request."""
    per_caller: float = 500.0
    """Requests a second, over time."""
    per_address: float = 1_000.0
    burst_seconds: float = 4.0
    """For how many seconds' worth somebody who was quiet may ask at once."""
    at_once: int = 200
    """Requests that are answered at one time."""
    connections: int = 1_000
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 60.0
    """How long somebody may read nothing of what is being sent."""
    idle_seconds: int = 60
    """How long a connection is kept on which nothing is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who is let in.

    Raises:
        InvalidInput: a right, a host or an origin that is none.
    """

    host: str = "127.0.0.1"
    """The address that is listened on."""
    local: frozenset[str] = frozenset()
    """The rights of whoever calls from this machine without a token."""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        checked_scopes(self.local, "server.local")
        if "admin" in self.local:
            raise InvalidInput("server.local", "admin", "at most read, operate, trade: who may what is for a token")
        for host in self.allowed_hosts:
            if not host or name_of(host) != host.lower():
                raise InvalidInput("server.allowed_hosts", host, "a name without scheme and port, such as desk.example")
        for origin in self.allowed_origins:
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or origin != f"{parts.scheme}://{parts.netloc}"
            ):
                raise InvalidInput("server.allowed_origins", origin, "a site, such as https://desk.example")

    @property
    def loopback(self) -> bool:
        """Can only this machine reach it?"""
        return is_loopback(self.host)

    def check_tokens(self, any_token: bool) -> None:
        """
        Raises:
            InvalidInput: others can reach it, and there is no token by which to know them.
        """
        if not self.loopback and not any_token:
            raise InvalidInput(
                "server.host", self.host,
                "127.0.0.1, or first a token for others to be known by (`tickwork tokens create NAME --scope read`)",
            )  # fmt: skip


@lru_cache(_REMEMBERED)
def is_loopback(host: str) -> bool:
    """Is it an address, or the name, of this machine alone?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@lru_cache(_REMEMBERED)
def is_address(host: str) -> bool:
    """Is it an IP address, and so no name that somebody could point elsewhere?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(_REMEMBERED)
def name_of(host: str) -> str:
    """The name in a ``Host`` header, without its port; empty: it is none."""
    try:
        parts = urlsplit(f"//{host}")
        named, _ = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return named if parts.netloc == host and "@" not in host else ""


def same_site(origin: str, host: str, allowed: Iterable[str]) -> bool:
    """Is a page of this origin one of ours, asked for under this ``Host``, or of a site that is allowed?"""
    if origin in allowed:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and origin.partition("://")[2].lower() == host.lower()
