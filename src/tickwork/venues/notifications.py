"""Notification services, over apprise: https://github.com/caronc/apprise/wiki lists them with the form of their URLs.

A URL such as ``tgram://<bot token>/<chat id>`` holds the credentials, so it is a secret as a whole: it is kept in a
``SecretStr``, and whatever apprise and the libraries beneath it log or say of a failure is freed of the parts of it
that apprise itself holds for secret (those that ``url(privacy=True)`` hides), of parameters whose name says so, and of
whatever ``conceal`` was told.

Tried over loopback: ``json://``, ``form://`` and ``tgram://`` (its host replaced). The other services were not tried
from here; they are apprise's.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from pydantic import SecretStr

from tickwork.errors import InvalidInput, Retryable
from tickwork.notify.events import Severity
from tickwork.notify.plan import Message

_BODY_MAX: Final = 4_000
"""Characters of a body; services that take less say so themselves."""
_SECRET_MIN: Final = 3
"""Characters below which a part is not looked for in logs: it would be found everywhere."""
_SCHEME: Final = re.compile(r"([a-z][a-z0-9]{1,20})://", re.ASCII | re.IGNORECASE)
_PART: Final = re.compile(r"[/:@?&=,#]+")
_SECRET_NAME: Final = re.compile(r"token|secret|pass|pwd|key|auth|sig|code|cred", re.IGNORECASE)
_TYPES: Final[Mapping[Severity, str]] = {
    "info": "info",
    "warning": "warning",
    "error": "failure",
    "critical": "failure",
}
"""What apprise calls them: it picks colours and icons by them."""
_LOGGERS: Final = (
    "apprise",
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "requests_oauthlib.oauth1_auth",
    "requests_oauthlib.oauth2_session",
)
"""Who may log a URL, or a part of it."""


class NotDelivered(Retryable):
    """A service did not take a message, or nobody knows whether it did."""

    def __init__(self, channel: str, reason: str) -> None:
        super().__init__(channel, reason)

    def __str__(self) -> str:
        channel, reason = self.args
        return f"channel {channel}: {reason}"


class Sender:
    """Sends messages to channels.

    Args:
        urls: the URL of each channel, by its name.

    Raises:
        InvalidInput: apprise does not understand a URL.
    """

    def __init__(self, urls: Mapping[str, SecretStr]) -> None:
        self._urls = dict(urls)
        for name, url in self._urls.items():
            _SCRUBBER.add(secrets_of(url, f"channel {name}"))

    def send(self, channel: str, message: Message, *, key: str) -> None:
        """Send, and return when the service has taken it. Blocks: to be called in a thread.

        A service is given seconds, not more: apprise waits four of them for a connection and four for an answer unless
        the URL says otherwise (``?cto=`` and ``?rto=``).

        Raises:
            InvalidInput: no such channel. NotDelivered: the service did not take it, or did not say.
        """
        url = self._urls.get(channel)
        if url is None:
            raise InvalidInput(
                "channel", channel, f"one that is configured: {', '.join(self._urls) or 'there is none'}"
            )
        apprise = _apprise()
        service = _service(url, f"channel {channel}")
        client = apprise.Apprise(asset=service.asset)
        client.add(service)
        title, body = _fitted(message, key, service.body_maxlen)
        result = client.notify(body=body, title=title, notify_type=_TYPES[message.severity], body_format="text")
        if not result:
            said = " ".join(entry.message.strip() for entry in result.logs())
            raise NotDelivered(channel, _SCRUBBER.scrubbed(said) or "the service did not take it and did not say why")


def _fitted(message: Message, key: str, longest: int) -> tuple[str, str]:
    """Title and body, the latter with a reference that is the same in every attempt, cut to what the service takes."""
    reference = f"ref {key[:12]}"
    room = min(longest or _BODY_MAX, _BODY_MAX) - len(message.title) - len(reference) - 4
    body = message.body if len(message.body) <= room else f"{message.body[: max(room - 1, 0)]}…"
    return message.title, f"{body}\n{reference}" if body else reference


# ------------------------------------------------------------------------------------------------------------ secrets


def secrets_of(url: SecretStr, path: str) -> frozenset[str]:
    """The parts of a URL that are secret: those that apprise hides, and parameters whose name says so.

    Raises:
        InvalidInput: apprise does not understand the URL; names ``path`` and nothing of the URL but its scheme.
    """
    service = _service(url, path)
    full, shown = _parts(service.url(privacy=False)), _parts(service.url(privacy=True))
    hidden = {form for part in full - shown for form in (part, unquote(part))}
    # a token such as "123:ABC" is written as one, and in two
    hidden |= {piece for part in hidden for piece in part.split(":")}
    query = parse_qsl(urlsplit(url.get_secret_value()).query)
    named = {value for name, value in query if _SECRET_NAME.search(name)}
    return frozenset({form for part in (hidden - shown) | named for form in (part, quote(part, safe=""))} - {""})


def conceal(text: str) -> None:
    """Keep a text that was put into a URL, and each part of it, out of logs and errors from here on.

    Whoever configures a channel knows better than apprise what is secret: what they do not write down is.
    """
    _, _, rest = text.rpartition("://")
    parts = {rest, unquote(rest), *_parts(rest), *_parts(unquote(rest))}
    _SCRUBBER.add({form for part in parts for form in (part, quote(part), quote(part, safe=""))})


def concealed(text: str) -> str:
    """A text without what was concealed, and without the secrets of the channels that are open."""
    return _SCRUBBER.scrubbed(text)


def exposes(literal: str, url: SecretStr, path: str) -> bool:
    """Does ``literal``, what a file holds of a URL, hold one of the secrets of that URL?

    Raises:
        InvalidInput: as ``secrets_of``.
    """
    return not secrets_of(url, path).isdisjoint(_parts(unquote(literal)))


def _parts(url: str) -> set[str]:
    return {part for part in _PART.split(url) if part}


def _service(url: SecretStr, path: str) -> Any:
    """Apprise's plugin for a URL."""
    apprise = _apprise()
    text = url.get_secret_value()
    asset = apprise.AppriseAsset(
        app_id="tickwork",
        app_desc="tickwork",
        storage_mode="memory",  # nothing on the disk that we have not put there
        result_log_disk_size=0,
        service_timeout=0,  # the engine has its own, and waits for a call that outlives it instead of making another
    )
    with _SCRUBBER.silence():  # what it logs of a URL that it does not understand may be the URL
        service = apprise.Apprise.instantiate(text, asset=asset)
    if service is None:
        scheme = _SCHEME.match(text)
        named = f"a {scheme[1].lower()}:// URL" if scheme else "a text without a scheme"
        expected = "a URL that apprise understands and has the libraries for (https://github.com/caronc/apprise/wiki)"
        raise InvalidInput(path, named, expected)
    service.overflow_mode = apprise.OverflowMode.TRUNCATE  # one message, however long its text
    return service


_loading = threading.Lock()


@cache
def _apprise() -> ModuleType:
    """Apprise, with its plugins: 0.2 s when it is first needed."""
    with _loading, warnings.catch_warnings():
        # one of its plugins imports a module that Python 3.13 has dropped, and does without where there is none
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # noqa: PLC0415 - heavy, and needed only by who notifies

        apprise.Apprise.instantiate("json://localhost")
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SCRUBBER)
    return apprise


class _Scrubber(logging.Filter):
    """Takes the secrets out of what others log."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: tuple[str, ...] = ()
        self._silent = threading.local()

    def add(self, secrets: Iterable[str]) -> None:
        """From here on these are never shown."""
        known = {*self._secrets, *(secret for secret in secrets if len(secret) >= _SECRET_MIN)}
        # the longest first: a part of a part would leave the rest of it
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Let nothing through that this thread logs meanwhile."""
        self._silent.now = True
        try:
            yield
        finally:
            self._silent.now = False

    def scrubbed(self, text: str) -> str:
        """The text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, freed of secrets."""
        if getattr(self._silent, "now", False):
            return False
        if self._secrets:
            record.msg, record.args = self.scrubbed(record.getMessage()), ()
            if record.exc_info:
                record.exc_text = self.scrubbed(logging.Formatter().formatException(record.exc_info))
                record.exc_info = None
        return True


_SCRUBBER: Final = _Scrubber()
