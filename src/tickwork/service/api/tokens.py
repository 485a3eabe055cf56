"""Tokens: who may call from elsewhere, and what each of them may.

``tokens.json`` in the home folder, readable by its user alone, replaced as a whole. Of a secret only the SHA-256 is
kept: it is 256 random bits, so there is nothing to guess and nothing to salt. It is told once, when it is made.
Several processes may change the file; each does so under a lock, and the others see it when the file has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tickwork.errors import Conflict, InvalidInput, NotFound
from tickwork.service.api.caller import Caller, Face, checked_scopes
from tickwork.service.api.problems import Unauthenticated
from tickwork.service.replacing import replace
from tickwork.service.running.home import make_home
from tickwork.values import from_ns

FILE: Final = "tokens.json"
PREFIX: Final = "tickwork_"
"""Of a secret: so that scanners find one that lies where it should not."""
USED_EVERY: Final = timedelta(hours=1)
"""How exactly it is known when a token was last used."""
ALL: Final = "*"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SECRET: Final = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)
_RESERVED: Final = frozenset({"local"})

T = TypeVar("T")


class TokenLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A token, without its secret."""

    name: str
    scopes: list[str]
    accounts: list[str]
    """Those it may trade; ``*``: all."""
    owner: str = ""
    """Whose things it sees; empty: everybody's."""
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    """To the hour."""


class TokenMade(TokenLine, frozen=True, kw_only=True, rename="camel"):
    """A token with its secret, which is shown this once."""

    secret: str


class _Kept(TokenLine, frozen=True, kw_only=True, rename="camel"):
    digest: str
    """SHA-256 of the secret, in hexadecimal digits."""

    @property
    def line(self) -> TokenLine:
        return TokenLine(**{name: getattr(self, name) for name in TokenLine.__struct_fields__})


class _File(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    tokens: list[_Kept] = []


class TokenStore:
    """The tokens of a home folder. Every question sees what the file says now.

    Args:
        path: of the file; ``None``: they are only in memory, as the tape is.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found = _File()
        self._seen: tuple[int, int, int] | None = None

    @classmethod
    def beside(cls, tape: str) -> TokenStore:
        """The tokens of the folder that a tape is in."""
        return cls(None if tape == ":memory:" else Path(tape).parent / FILE)

    def create(
        self,
        name: str,
        scopes: list[str],
        now: datetime,
        *,
        accounts: list[str] | None = None,
        owner: str = "",
        expires: datetime | None = None,
    ) -> TokenMade:
        """A new token, with its secret.

        Raises:
            InvalidInput: a wrong name, right or time, or a token that may trade and names no account.
            Conflict: there is one of this name.
        """
        named = list(dict.fromkeys(accounts or ()))
        _check(name, scopes, named, owner, expires, now)
        secret = PREFIX + secrets.token_urlsafe(32)
        ordered = sorted(set(scopes))
        kept = _Kept(
            name=name, scopes=ordered, accounts=named, owner=owner, created=now, expires=expires, digest=_digest(secret)
        )

        def change(tokens: list[_Kept]) -> TokenMade:
            if any(known.name == name for known in tokens):
                raise Conflict("token", name, "a name that no token has: revoke that one first, or take another name")
            tokens.append(kept)
            fields = {field: getattr(kept, field) for field in TokenLine.__struct_fields__}
            return TokenMade(**fields, secret=secret)

        return self._change(change)

    def revoke(self, name: str) -> TokenLine:
        """Make a token void, at once.

        Raises:
            NotFound: there is none of this name.
        """

        def change(tokens: list[_Kept]) -> TokenLine:
            for at, known in enumerate(tokens):
                if known.name == name:
                    del tokens[at]
                    return known.line
            names = ", ".join(sorted(known.name for known in tokens)) or "there is none"
            raise NotFound("token", name, f"the name of one: {names}")

        return self._change(change)

    def lines(self) -> list[TokenLine]:
        """All of them, by name.

        Raises:
            InvalidInput: the file cannot be read.
        """
        return sorted((known.line for known in self._now().tokens), key=lambda line: line.name)

    def any(self) -> bool:
        """Is there one?"""
        return bool(self._now().tokens)

    def caller(self, secret: str, face: Face, now: datetime) -> Caller:
        """Whose secret it is.

        Raises:
            Unauthenticated: nobody's, or its time is over.
        """
        found: _Kept | None = None
        if _SECRET.fullmatch(secret):
            digest = _digest(secret)
            for known in self._now().tokens:  # all of them are compared, whichever it is
                found = known if hmac.compare_digest(known.digest, digest) else found
        if found is None:
            raise Unauthenticated("no token is known by this secret: it was revoked, or never was one")
        if found.expires is not None and found.expires <= now:
            raise Unauthenticated(f"the token {found.name!r} expired at {found.expires:%Y-%m-%dT%H:%M:%SZ}")
        accounts = None if ALL in found.accounts else frozenset(found.accounts)
        return Caller(
            name=found.name, face=face, scopes=frozenset(found.scopes), accounts=accounts, owner=found.owner or None
        )

    def used(self, name: str, now: datetime) -> bool:
        """Has its use to be noted? To be asked on every call: it is quick, and mostly says no."""
        known = next((known for known in self._found.tokens if known.name == name), None)
        return known is not None and (known.last_used is None or now - known.last_used >= USED_EVERY)

    def note_use(self, name: str, now: datetime) -> None:
        """Note that a token was used; it takes the disk a moment."""

        def change(tokens: list[_Kept]) -> None:
            for at, known in enumerate(tokens):
                if known.name == name:
                    tokens[at] = msgspec.structs.replace(
                        known, last_used=now.replace(minute=0, second=0, microsecond=0)
                    )

        self._change(change)

    def verbs(self, clock: Callable[[], int]) -> dict[str, Any]:
        """What the operations ask of the process that owns the tape. ``clock``: ns since 1970 UTC."""

        async def create(
            name: str, scopes: list[str], accounts: list[str], owner: str = "", expires: str | None = None
        ) -> TokenMade:
            until = None if expires is None else datetime.fromisoformat(expires)
            return self.create(name, scopes, from_ns(clock()), accounts=accounts, owner=owner, expires=until)

        async def listed() -> list[TokenLine]:
            return self.lines()

        async def revoke(name: str) -> TokenLine:
            return self.revoke(name)

        return {"tokens.create": create, "tokens.list": listed, "tokens.revoke": revoke}

    # -- the file -------------------------------------------------------------------------------------------------

    def _now(self) -> _File:
        """What the file says, read only where it has changed."""
        if self._path is None:
            return self._found
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._found, self._seen = _File(), None
            return self._found
        seen = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if seen != self._seen:
            if stat.st_mode & 0o077:
                raise InvalidInput(str(self._path), f"mode {stat.st_mode & 0o777:o}", "mode 600: chmod 600 it")
            try:
                self._found = msgspec.json.decode(self._path.read_bytes(), type=_File)
            except msgspec.DecodeError as error:
                expected = "a file that `tickwork tokens` wrote: remove it, and make the tokens anew"
                raise InvalidInput(str(self._path), type(error).__name__, expected) from None
            self._seen = seen
        return self._found

    def _change(self, change: Callable[[list[_Kept]], T]) -> T:
        """Change the list, and have it on disk."""
        with self._locked():
            tokens = list(self._now().tokens)
            result = change(tokens)
            found = _File(tokens=tokens)
            if self._path is None:
                self._found = found
            else:
                replace(self._path, msgspec.json.format(msgspec.json.encode(found), indent=2), 0o600)
            return result

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile."""
        if self._path is None:
            yield
            return
        make_home(self._path.parent)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _check(
    name: str, scopes: list[str], accounts: list[str], owner: str, expires: datetime | None, now: datetime
) -> None:
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise InvalidInput("name", name, "1 to 64 letters, digits, '.', '-' and '_', and not `local`")
    if not scopes:
        raise InvalidInput("scopes", "none", "at least one right: read, operate, trade, admin")
    rights = checked_scopes(scopes)
    if rights & {"trade", "admin"} and not accounts:
        raise InvalidInput("accounts", "none", "the accounts that the token may trade, or * for all of them")
    if owner and "admin" in rights:
        raise InvalidInput("owner", owner, "none: a token of an owner sees and does only what is the owner's")
    if expires is not None and (expires.tzinfo is None or expires <= now):
        raise InvalidInput("expires", expires.isoformat(), "a time in the future, with its offset from UTC")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
