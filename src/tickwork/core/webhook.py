"""Webhooks: what another system posts to us, signed, as an event.

    @workflow("deploy", on=Webhook("github", secret_env="GITHUB_WEBHOOK_SECRET", scheme="github",
                                   headers=["X-GitHub-Event"], where="body.action == 'released'"))
    async def deploy(run: Run, hook: WebhookReceived) -> None: ...

``Webhook`` declares it; ``verify`` is a plain function of the secret, the headers and the raw body. A body is read only
after its signature was found right. The secret itself is named by reference and never kept.

Schemes (what is signed by HMAC-SHA256 with the secret, and where the signature stands):

* ``sha256``  the body, in hexadecimal, in ``X-Signature``.
* ``github``  the body, as ``sha256=<hex>`` in ``X-Hub-Signature-256``; see "Validating webhook deliveries" in GitHub's
  documentation.
* ``stripe``  ``<t>.<body>``, as ``t=<seconds>,v1=<hex>`` in ``Stripe-Signature``, several ``v1`` while a secret is
  rotated, other versions ignored; see "Verify webhook signatures manually" in Stripe's documentation.
* ``token``   nothing; the header holds the secret itself, by default Telegram's ``X-Telegram-Bot-Api-Secret-Token``.

Only ``stripe`` signs a time, so only there an old delivery is refused as such. With the others a delivery that was
overheard can be sent again under another id: serve them over TLS only, or have the id in the body (``id_field``).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput, Refused
from tickwork.values import NS_PER_SECOND, DurationLike, duration, duration_text, from_ns

Scheme = Literal["sha256", "github", "stripe", "token"]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Names in any case; pairs where a name may come twice."""

BODY_MAX = 1 << 20
"""Bytes."""
ID_MAX = 200

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,9}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_SECRETS = frozenset({"authorization", "cookie", "proxy-authorization"})
_SIGNATURE = "webhook signature"
_ID = "webhook delivery id"


class WebhookReceived(Event, name="tickwork/webhook.received"):
    """Another system has posted something, and its signature is right."""

    hook: str
    """Name of the webhook."""
    delivery_id: str
    """The sender's id of it; of what comes without one, a digest of what was signed."""
    body: Any
    """JSON as it was sent, or text. A number with a point is a float: have money sent as text."""
    headers: dict[str, str]
    """Those that the declaration asks for, by its spelling; absent ones are left out."""
    received_at: datetime


class _Defaults(NamedTuple):
    signature_header: str
    id_header: str | None
    id_field: str | None


_DEFAULTS: dict[Scheme, _Defaults] = {
    "sha256": _Defaults("X-Signature", "X-Delivery-Id", None),
    "github": _Defaults("X-Hub-Signature-256", "X-GitHub-Delivery", None),
    "stripe": _Defaults("Stripe-Signature", None, "id"),
    "token": _Defaults("X-Telegram-Bot-Api-Secret-Token", None, "update_id"),
}


class Webhook(Trigger):
    """What another system posts under a name.

    Args:
        name: in the address it posts to (``/hooks/<name>``): small letters, digits, ``.``, ``-`` and ``_``.
        secret_env: name of the environment variable that holds the secret, or
        secret_file: path of the file that does.
        scheme: how it is signed; see the module.
        signature_header: where the signature stands, if not where the scheme has it.
        tolerance: how far the signed time may be from now, either way (``stripe``).
        id_header: the header with the delivery's id, or
        id_field: the path of that id in the JSON body, e.g. ``"data.id"``. ``""``: it has none, and a digest of what
            was signed takes its place, so that two equal bodies within ``window`` are one delivery. By default as
            the scheme has it.
        window: how long a delivery is remembered; the same one again is answered and not published.
        headers: names of headers to put into the event.
        where: which deliveries start a run: a mapping of fields of ``WebhookReceived`` or a condition text such as
            ``"body.action == 'opened'"``.
        text: the body is UTF-8 text, not JSON.

    Raises:
        InvalidInput: an argument is wrong.
    """

    kind = "webhook"

    def __init__(
        self,
        name: str,
        *,
        secret_env: str = "",
        secret_file: str = "",
        scheme: Scheme = "sha256",
        signature_header: str | None = None,
        tolerance: DurationLike = "5 minutes",
        id_header: str | None = None,
        id_field: str | None = None,
        window: DurationLike = "24 hours",
        headers: Sequence[str] = (),
        where: Mapping[str, Any] | str | None = None,
        text: bool = False,
    ) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInput("Webhook(name)", name, "1 to 100 small letters, digits, '.', '-' and '_'")
        path = f"Webhook({name!r})"
        if scheme not in get_args(Scheme):
            raise InvalidInput(f"{path} scheme", scheme, "one of " + ", ".join(get_args(Scheme)))
        if bool(secret_env) == bool(secret_file):
            raise InvalidInput(f"{path} secret", "both" if secret_env else "neither", "secret_env= or secret_file=")
        self.name = name
        self.scheme = scheme
        self.secret_env = secret_env
        self.secret_file = secret_file
        self.text = text
        defaults = _DEFAULTS[scheme]
        if id_header is None and id_field is None:
            id_header, id_field = defaults.id_header, None if text else defaults.id_field
        self.signature_header = _header(signature_header or defaults.signature_header, f"{path} signature_header")
        self.id_header = _header(id_header, f"{path} id_header") if id_header else ""
        self.id_field = _field(id_field, f"{path} id_field") if id_field else ""
        if self.id_field and (self.id_header or text):
            raise InvalidInput(f"{path} id_field", self.id_field, "no id_header beside it, and a body of JSON")
        self.headers = tuple(_shown(header, self.signature_header, f"{path} headers") for header in headers)
        self.tolerance = duration(tolerance, f"{path} tolerance")
        """ns."""
        self.window = duration(window, f"{path} window")
        """ns."""
        if scheme == "stripe" and self.window < 2 * self.tolerance:
            expected = "at least twice the tolerance: for so long the same signed time is accepted"
            raise InvalidInput(f"{path} window", window, expected)
        self._where = _where(name, where)

    @property
    def event(self) -> type[Event]:
        """``WebhookReceived``."""
        return WebhookReceived

    @property
    def where(self) -> Where:
        """Those of this hook, and what was said besides."""
        return self._where

    @property
    def terms(self) -> tuple[Any, ...]:
        """All but ``where``: what declarations of one name must agree on."""
        return (
            self.scheme, self.secret_env, self.secret_file, self.signature_header, self.tolerance, self.id_header,
            self.id_field, self.window, self.headers, self.text,
        )  # fmt: skip

    def __str__(self) -> str:
        where = self._where
        also = where.text.partition(" and ")[2] or ", ".join(
            f"{field} = {value[1:]}"
            for field, value in zip(where.fields, where.values, strict=True)
            if field != "hook"
        )  # fmt: skip
        return f"webhook {self.name}" + (f" where {also}" if also else "")

    def __repr__(self) -> str:
        reference = f"secret_env={self.secret_env!r}" if self.secret_env else f"secret_file={self.secret_file!r}"
        return f"Webhook({self.name!r}, {reference}, scheme={self.scheme!r})"


def verify(hook: Webhook, secret: bytes, headers: Headers, body: bytes, now: int) -> WebhookReceived:
    """What was delivered, if its signature is right. ``now`` is in ns since 1970 UTC.

    Raises:
        Refused: too large (``webhook size``); no signature, two of them, or a wrong one (``webhook signature``); a
            signed time too far from now (``webhook time``); no delivery id, or two of them (``webhook delivery id``).
        InvalidInput: the body is not what was declared, or the secret is empty.
    """
    if not secret:
        raise InvalidInput(f"secret of webhook {hook.name!r}", "nothing", "one that is not empty")
    if len(body) > BODY_MAX:
        raise Refused("webhook size", f"{BODY_MAX} bytes", len(body))
    found: dict[str, list[str]] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        found.setdefault(name.lower(), []).append(value.strip())
    signed = _signed(hook, secret, _one(found, hook.signature_header, _SIGNATURE), body, now)
    content = _content(hook, body)
    shown = {name: ", ".join(found[name.lower()]) for name in hook.headers if name.lower() in found}
    received = WebhookReceived(
        hook=hook.name,
        delivery_id=_delivery_id(hook, found, content, signed),
        body=content,
        headers=shown,
        received_at=from_ns(now),
    )
    _check_readable(hook, received)
    return received


# -------------------------------------------------------------------------------------------------------- signatures


def _one(headers: Mapping[str, list[str]], name: str, rule: str) -> str:
    values = headers.get(name.lower(), [])
    if len(values) != 1:
        raise Refused(rule, f"one {name} header", f"{len(values)} of them" if values else "none")
    return values[0]


def _signed(hook: Webhook, secret: bytes, given: str, body: bytes, now: int) -> bytes:
    """Check the signature; returns what it vouches for."""
    if hook.scheme == "token":
        if not hmac.compare_digest(given.encode("utf-8", "backslashreplace"), secret):
            raise Refused(_SIGNATURE, f"the token in {hook.signature_header}", "another one")
        return body
    time = ""
    if hook.scheme == "stripe":
        time, signatures = _timed(hook, given)
        signed = f"{time}.".encode() + body
    else:
        signatures, signed = [_hex(hook, given, "sha256=" if hook.scheme == "github" else "")], body
    right = hmac.new(secret, signed, hashlib.sha256).digest()
    # all of them are compared, so that the time it takes does not tell which one came near
    if not any([hmac.compare_digest(right, signature) for signature in signatures]):  # noqa: C419
        raise Refused(_SIGNATURE, f"in {hook.signature_header} the HMAC-SHA256 of what was sent", "another one")
    if time:
        _check_time(hook, int(time), now)
    return signed


def _hex(hook: Webhook, given: str, prefix: str) -> bytes:
    digits = given.removeprefix(prefix)
    if not given.startswith(prefix) or not _HEX.fullmatch(digits):
        raise Refused(_SIGNATURE, f"{hook.signature_header}: {prefix}<64 hexadecimal digits>", "another form")
    return bytes.fromhex(digits)


def _timed(hook: Webhook, given: str) -> tuple[str, list[bytes]]:
    """The seconds and the signatures of ``t=...,v1=...,v1=...``."""
    parts = [part.strip().partition("=") for part in given.split(",")]
    times = [value for key, _, value in parts if key == "t"]
    signatures = [bytes.fromhex(value) for key, _, value in parts if key == "v1" and _HEX.fullmatch(value)]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]) or not signatures:
        raise Refused(_SIGNATURE, f"{hook.signature_header}: t=<seconds>,v1=<64 hexadecimal digits>", "another form")
    return times[0], signatures


def _check_time(hook: Webhook, seconds: int, now: int) -> None:
    apart = abs(now - seconds * NS_PER_SECOND)
    if apart > hook.tolerance:
        told = duration_text(apart // NS_PER_SECOND * NS_PER_SECOND)
        raise Refused("webhook time", f"{duration_text(hook.tolerance)} from now", f"{told} from now")


# ----------------------------------------------------------------------------------------------------------- content


def _content(hook: Webhook, body: bytes) -> Any:
    """The body as it was declared. What it says is not repeated in an error: it may be secret."""
    path, found = f"body of webhook {hook.name!r}", f"{len(body)} bytes"
    try:
        return body.decode() if hook.text else msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidInput(path, found, f"UTF-8 text ({error.reason} at byte {error.start})") from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(path, found, f"JSON ({error})") from None


def _check_readable(hook: Webhook, received: WebhookReceived) -> None:
    """What goes onto the tape must come back from it as it was: JSON that is nested too deeply does not."""
    try:
        same = WebhookReceived.from_wire(received.to_wire()) == received
    except (ValueError, InvalidInput):  # pydantic's serialisation error is a ValueError
        same = False
    if not same:
        expected = "JSON that can be read back from the tape: less deeply nested, of numbers that JSON can hold"
        raise InvalidInput(f"body of webhook {hook.name!r}", "one that cannot", expected)


def _delivery_id(hook: Webhook, headers: Mapping[str, list[str]], content: Any, signed: bytes) -> str:
    if hook.id_header:
        id = _one(headers, hook.id_header, _ID)
    elif hook.id_field:
        found = content
        for name in hook.id_field.split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise Refused(_ID, f"a text or a whole number at {hook.id_field!r} of the body", type(found).__name__)
        id = str(found)
    else:
        return hashlib.sha256(signed).hexdigest()
    if not 0 < len(id) <= ID_MAX or not id.isprintable():
        raise Refused(_ID, f"1 to {ID_MAX} printable characters", f"{len(id)} characters")
    return id


# ------------------------------------------------------------------------------------------------------- declarations


def _where(name: str, where: Mapping[str, Any] | str | None) -> Where:
    """One condition of both: of this hook, and what was said."""
    if isinstance(where, str):
        Where(WebhookReceived, where)  # alone, so that no parenthesis of it closes ours
        return Where(WebhookReceived, f"hook == '{name}' and ({where})")
    if where is not None and not isinstance(where, Mapping):
        raise InvalidInput(f"Webhook({name!r}) where", where, "a mapping of fields or a condition text")
    return Where(WebhookReceived, {**(where or {}), "hook": name})


def _header(name: Any, path: str) -> str:
    if not isinstance(name, str) or not _HEADER.fullmatch(name):
        raise InvalidInput(path, name, "the name of an HTTP header, such as 'X-Signature'")
    return name


def _field(name: Any, path: str) -> str:
    if not isinstance(name, str) or not _FIELD.fullmatch(name):
        raise InvalidInput(path, name, "the path of a field of the body, such as 'data.id'")
    return name


def _shown(name: Any, signature_header: str, path: str) -> str:
    """A header that goes into the event, and so onto the tape."""
    if _header(name, path).lower() in _SECRETS | {signature_header.lower()}:
        raise InvalidInput(path, name, "headers that hold no secret: these go onto the tape")
    return str(name)
