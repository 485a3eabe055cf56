"""Configuration: ``tickwork.toml`` and ``TICKWORK_*`` environment variables, checked; the variables win.

    home = ".tickwork"                     # TICKWORK_HOME
    mode = "paper"                         # TICKWORK_MODE
    log_level = "warning"                  # TICKWORK_LOG_LEVEL

    [notify]                               # TICKWORK_NOTIFY__DEDUPE=...
    dedupe = "5 minutes"

    [notify.channels.phone]
    url = "tgram://${TELEGRAM_TOKEN}/-100123456"

Secrets are not in the file: what is secret is named there, as an environment variable or as a file. A URL that holds a
secret literally is refused, and an unknown key, with the name that was probably meant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from tickwork.errors import InvalidInput
from tickwork.faces.http.security import Limits, Security
from tickwork.notify.rules import Channel, Limit, QuietHours, Route, Rules
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.api.caller import Scope
from tickwork.service.environment import environment
from tickwork.values import Duration
from tickwork.venues.notifications import conceal, exposes

FILE: Final = "tickwork.toml"
"""In the working directory."""

PREFIX: Final = "TICKWORK_"

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_REFERENCE: Final = re.compile(rf"\$\{{({_NAME.pattern})\}}", re.ASCII)
_SECRET_KEYS: Final = ("url", "url_env", "url_file")
_RULE: Final = "rule"
_KINDS: Final = {"tuple_type": "a list", "dict_type": "a table", "model_type": "a table", "dataclass_type": "a table"}
"""What TOML calls what pydantic expects."""
_PLACEHOLDERS: Final = ("982451653", "placeholder", "P" * 24, "982451653:" + "P" * 35, "P" * 64, "+4915798245165")
"""Stand for variables while a URL is judged whose variables are not known: of these one mostly suits its service."""
_HIDDEN: Final = "a value that is not shown, because it may be a secret"


def _as_ours(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """What a rule complains of itself, as pydantic's complaint, which knows where in the file the rule is."""
    try:
        return handler(value)
    except InvalidInput as error:
        raise _said(error.path.rpartition(".")[2], error.found, error.expected) from None


def _said(field: str, found: Any, expected: str) -> PydanticCustomError:
    return PydanticCustomError(_RULE, "{expected}", {"field": field, "found": found, "expected": expected})


_Checked = WrapValidator(_as_ours)
"""For the rules of other rooms, which check themselves."""


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ChannelSettings(Section):
    """``[notify.channels.<name>]``: where a channel's URL is to be found, and its limits.

    Exactly one of ``url`` (with ``${NAME}`` for environment variables), ``url_env`` (the name of one that holds the
    whole) and ``url_file`` (a file whose only line is the URL).
    """

    url: SecretStr | None = None
    url_env: str | None = None
    url_file: Path | None = None
    limit: Annotated[Limit, _Checked] | None = None
    """Instead of ``notify.limit``."""
    quiet_hours: bool = True
    """Do the quiet hours hold for this channel?"""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [key for key in _SECRET_KEYS if getattr(self, key) is not None]
        if len(given) != 1:
            expected = f"exactly one of {', '.join(_SECRET_KEYS)}"
            raise _said("", " and ".join(given) or "none of them", expected)
        # a URL that was put in the wrong place must not be shown as the name of something that is missing
        if self.url_env is not None and not _NAME.fullmatch(self.url_env):
            raise _said("url_env", _HIDDEN, "the name of an environment variable")
        if self.url_file is not None and ":" in str(self.url_file):
            raise _said("url_file", _HIDDEN, "the path of a file")
        return self

    def resolved(self, name: str, env: Mapping[str, str]) -> SecretStr:
        """The URL.

        Raises:
            InvalidInput: a variable or a file is missing, or the file holds a secret; shows nothing of any.
        """
        path = f"notify.channels.{name}"
        if self.url_file is not None:
            return _concealed(_only_line(f"{path}.url_file", self.url_file))
        if self.url_env is not None:
            return _concealed(_variable(f"{path}.url_env", self.url_env, env))
        assert self.url is not None
        template = self.url.get_secret_value()
        path = f"{path}.url"
        for variable in _REFERENCE.findall(template):
            conceal(_variable(path, variable, env))
        url = SecretStr(_REFERENCE.sub(lambda match: _variable(path, match[1], env), template))
        if url != self.url:
            _check_literal(path, _REFERENCE.sub("/", template), url)
        return url


class NotifySettings(Section):
    """``[notify]``: who hears of what, over which channel."""

    channels: dict[str, ChannelSettings] = {}
    routes: tuple[Annotated[Route, _Checked], ...] = ()
    quiet_hours: Annotated[QuietHours, _Checked] | None = None
    limit: Annotated[Limit, _Checked] = Limit()
    dedupe: Duration = Field(default="5 minutes", validate_default=True)

    def rules(self) -> Rules:
        """The rules, which hold no secret.

        Raises:
            InvalidInput: a route names a channel that there is not.
        """
        channels = (
            Channel(name, channel.limit or self.limit, self.quiet_hours if channel.quiet_hours else None)
            for name, channel in self.channels.items()
        )
        return Rules(tuple(channels), self.routes, self.dedupe)

    def urls(self, channels: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> dict[str, SecretStr]:
        """The URLs of some channels, or of all, from the environment and the files that the configuration names.

        Raises:
            InvalidInput: one cannot be found.
        """
        names = self.channels if channels is None else channels
        return {name: self.channels[name].resolved(name, environment() if env is None else env) for name in names}


class LimitSettings(Section):
    """``[server.limits]``: how much the server takes. Halting has room of its own."""

    body_bytes: int = Field(1 << 20, ge=1_024, le=64 << 20)
    """Of one request."""
    per_caller: float = Field(500.0, gt=0)
    """Requests a second, of one token or of this machine, over time."""
    per_address: float = Field(1_000.0, gt=0)
    """The same of one address, whoever calls from it."""
    burst_seconds: float = Field(4.0, ge=1, le=60)
    """For how many seconds' worth a caller that was quiet may call at once."""
    at_once: int = Field(200, ge=1, le=100_000)
    """Requests that are answered at one time."""
    connections: int = Field(1_000, ge=8, le=100_000)
    header_seconds: float = Field(10.0, gt=0, le=600)
    """Until the head of a request has come."""
    body_seconds: float = Field(30.0, gt=0, le=600)
    """Until its body has."""
    answer_seconds: float = Field(60.0, gt=0, le=3_600)
    """How long somebody may read nothing of what is being sent."""
    idle_seconds: int = Field(60, ge=1, le=3_600)
    """How long a connection is kept on which nothing is asked."""


class ServerSettings(Section):
    """``[server]``: what `tickwork up` serves over HTTP, and to whom."""

    enabled: bool = True
    host: str = Field("127.0.0.1", min_length=1, max_length=255)
    """Any but an address of this machine alone needs a token (`tickwork tokens create`)."""
    port: int = Field(8420, ge=0, le=65_535)
    """0: any that is free."""
    local: tuple[Scope, ...] | None = None
    """The rights of whoever calls from this machine without a token: by default all but ``admin`` on paper, to read and
    to operate in live trading, and none where there are ``allowed_hosts``."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which it may be called, besides those of this machine; whoever uses one of them needs a token."""
    allowed_origins: tuple[str, ...] = ()
    """Sites whose pages may call it, such as ``https://desk.example``."""
    limits: LimitSettings = LimitSettings()

    def security(self, *, live: bool) -> Security:
        """Who is let in; ``live``: real money is traded.

        Raises:
            InvalidInput: a host or a site that is none.
        """
        local: Iterable[str] | None = self.local
        if local is None:  # a name besides this machine's means a proxy, behind which everybody comes from this machine
            local = () if self.allowed_hosts else ("read", "operate") if live else ("read", "operate", "trade")
        return Security(
            host=self.host,
            local=frozenset(local),
            allowed_hosts=self.allowed_hosts,
            allowed_origins=self.allowed_origins,
            limits=Limits(**self.limits.model_dump()),
        )


class Settings(BaseSettings):
    """The configuration. ``load`` makes it; made by hand, it takes its fields and looks at nothing else."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    home: Path = Path(".tickwork")
    """Where the command line looks for the tape and what belongs to it; a program asks for it itself."""
    mode: Literal["paper", "live"] = "paper"
    """Live needs this *and* ``--live`` on the command line; with one of the two alone nothing real is traded."""
    accounts: dict[str, AccountConfig] = {}
    """What trades, by name; see ``service.accounts.config``."""
    workflows: tuple[Path, ...] = ()
    """Files of Python with a function ``workflows(trading)`` that gives a list of workflows."""
    documents: tuple[str, ...] = ()
    """Documents that run: files, or names of published ones."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """What the command line logs on stderr: this, and worse."""
    notify: NotifySettings = NotifySettings()
    server: ServerSettings = ServerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: ``load`` says where it comes from."""
        return (init_settings,)


def load(path: Path | None = None, env: Mapping[str, str] | None = None, *, judge_urls: bool = True) -> Settings:
    """Read the configuration.

    Args:
        path: the file; by default ``tickwork.toml`` in the working directory, if there is one.
        env: the environment variables; by default the process's own.
        judge_urls: look for secrets that are written in URLs; that takes a moment, and whoever sends does it.

    Raises:
        InvalidInput: no such file, not TOML, an unknown key, a wrong value, or a secret in the file. The path is that
            of the key.
    """
    env = os.environ if env is None else env
    file = Path(FILE) if path is None else path
    if path is not None and not file.is_file():
        raise InvalidInput("the configuration", str(file), "a file")
    try:
        told = TomlConfigSettingsSource(Settings, file)()
    except ValueError as error:  # TOML's, UTF-8's, or that of a number with thousands of digits
        raise InvalidInput(str(file), str(error), "TOML") from None
    _check_variables(env)
    variables = EnvSettingsSource(Settings)
    variables.env_vars = {name.lower(): value for name, value in env.items()}
    try:
        settings = Settings(**_merged(told, variables()))
    except SettingsError as error:
        raise InvalidInput(f"{PREFIX}*", _HIDDEN, f"JSON ({error})") from None
    except ValidationError as error:
        raise _complaint(error.errors(include_url=False)) from None
    for name, channel in _tables(told, "notify", "channels").items():
        url = channel.get("url") if isinstance(channel, dict) else None
        if judge_urls and isinstance(url, str):
            _check_url(f"notify.channels.{name}.url", url)
    settings.notify.rules()
    for name, account in settings.accounts.items():
        account.rules(name)
    return settings


# ------------------------------------------------------------------------------------------------------------ secrets


def _check_url(path: str, url: str) -> None:
    """Refuse a URL that holds a secret literally, whatever its variables, if it has some, may be."""
    if not _REFERENCE.search(url):
        _check_literal(path, url, SecretStr(url))
        return
    literal = _REFERENCE.sub("/", url)
    for placeholder in _PLACEHOLDERS:
        try:
            exposed = exposes(literal, SecretStr(_REFERENCE.sub(placeholder, url)), path)
        except InvalidInput:
            continue  # it does not suit the service
        if exposed:
            _refuse_literal(path)
        return
    # nothing suits: it is judged with what its variables are, before anything is sent


def _check_literal(path: str, literal: str, url: SecretStr) -> None:
    if exposes(literal, url, path):
        _refuse_literal(path)


def _refuse_literal(path: str) -> NoReturn:
    expected = (
        'a URL whose secret parts are named, not written: ${NAME} for an environment variable, or url_env = "NAME" '
        'or url_file = "PATH" instead of url; this file is no place for a token or a password'
    )
    raise InvalidInput(path, _HIDDEN, expected)


def _concealed(url: str) -> SecretStr:
    """A URL that is a secret as a whole."""
    place = urlsplit(url)
    for text in (place.path, place.query):
        conceal(text)
    return SecretStr(url)


def _variable(path: str, name: str, env: Mapping[str, str]) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise InvalidInput(path, "nothing", f"the environment variable {name} to be set")
    return value


def _only_line(path: str, file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(path, str(file), f"a file that can be read ({type(error).__name__})") from None
    if len(lines) != 1:
        raise InvalidInput(path, f"{file}, with {len(lines)} words", "a file with one line: the URL")
    return lines[0]


# ----------------------------------------------------------------------------------------------------------- sources


def _merged(told: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Both, table by table; ``over`` wins."""
    found = dict(told)
    for key, value in over.items():
        below = found.get(key)
        found[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return found


def _tables(told: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    found: Any = told
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _check_variables(env: Mapping[str, str]) -> None:
    """Refuse a variable that was probably meant to be one of ours; others that begin as ours do may be anybody's."""
    known = [name.upper() for name in Settings.model_fields]
    for name in env:
        first, _, below = name.upper().removeprefix(PREFIX).partition("__")
        if not name.upper().startswith(PREFIX) or first in known:
            continue
        close = get_close_matches(first, known, n=1, cutoff=0.7)
        if close or below:
            meant = close or known
            raise InvalidInput(name, "an unknown variable", " or ".join(f"{PREFIX}{one}" for one in meant))


# -------------------------------------------------------------------------------------------------------- complaints


def _complaint(errors: list[ErrorDetails]) -> InvalidInput:
    """The most telling complaint of pydantic's, as ours."""
    # an unknown key beside a missing one is a misspelt one: it says more
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    error = next((one for one in errors if one["type"] in unknown), errors[0])
    place = [str(part) for part in error["loc"]]
    path = ".".join(place)
    if error["type"] in unknown:
        known = _keys_at(place[:-1])
        close = get_close_matches(place[-1], known, n=1, cutoff=0.6)
        expected = f"{close[0]!r}, or another of: {', '.join(known)}" if close else f"one of: {', '.join(known)}"
        return InvalidInput(path, "an unknown key", expected)
    if error["type"] in ("missing", "missing_argument"):
        return InvalidInput(path, "nothing", "a value: the key is required")
    if error["type"] == _RULE:
        said = error["ctx"]
        return InvalidInput(f"{path}.{said['field']}".rstrip("."), said["found"], said["expected"])
    text = _KINDS.get(error["type"]) or error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    found = str(error["input"])[:200]
    if "://" in found or (place[:2] == ["notify", "channels"] and "limit" not in place):
        found = _HIDDEN
    return InvalidInput(path, found, text[:1].lower() + text[1:])


def _keys_at(place: list[str]) -> list[str]:
    """The keys that a table takes, by its place."""
    model: Any = Settings
    for part in place:
        annotation = dict(_members(model)).get(part)
        # a name that people give, or a number in a list: the table is of the same kind
        model = model if annotation is None else _model_in(annotation) or model
    return [name for name, _ in _members(model)]


def _members(model: Any) -> list[tuple[str, Any]]:
    if is_dataclass(model):
        return [(one.name, one.type) for one in fields(model) if one.init]
    return [(name, field.annotation) for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    """The model or dataclass that an annotation such as ``dict[str, Model]`` holds."""
    if isinstance(annotation, type) and (is_dataclass(annotation) or issubclass(annotation, BaseModel)):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)
