"""Triggers of documents: what ``{type: price_change, symbol: BTC/USD, threshold: 0.02}`` means.

Fields have the names that the systems' own documents use; where these have several for one thing, each is understood.
Fractions and prices may be numbers or texts: a float is taken as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tickwork.core.event import newest_event
from tickwork.core.queue import Queue
from tickwork.core.schedule import Schedule
from tickwork.core.trigger import Manual, Trigger, When
from tickwork.core.webhook import Webhook
from tickwork.errors import InvalidInput
from tickwork.graph.document import Document, TriggerSpec
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.tenants import fields_of, heard_by
from tickwork.market import liquidations as _declared  # noqa: F401 - an event that documents name
from tickwork.market.sessions import parse_times
from tickwork.market.triggers import BreakingNews, NewsSentiment, PriceChange, PriceCross, Volatility, VolumeSpike

Fields = dict[str, Any]

SYMBOLS_MAX: Final = 1_000

_STREAM: Final = {"venue": "venue", "provider": "venue", "interval": "interval"}


def triggers_of(spec: TriggerSpec, problems: Problems, path: str, owner: str = "") -> list[Trigger]:
    """The triggers that an entry of a document's ``triggers`` declares: one, or one for each of its symbols.

    Args:
        owner: whose document it is; see ``graph.tenants``.
    """
    known = TYPES.get(spec.type)
    if known is None:
        problems.add(f"{path}.type", spec.type, f"a type of trigger: {nearest(spec.type, TYPES)}")
        return []
    build, names = known
    fields: Fields = {}
    spelled: dict[str, str] = {}
    unknown = False
    for name, value in spec.fields.items():
        argument = names.get(name) or names.get(_snake(name))
        if argument is None:
            problems.add(f"{path}.{name}", value, f"no field of this name on {spec.type}: {nearest(name, names)}")
            unknown = True
        elif argument in fields:
            problems.add(f"{path}.{name}", value, f"either {spelled[argument]!r} or {name!r}: both mean one thing")
        else:
            fields[argument], spelled[argument] = value, name
    known_before = len(problems.errors)

    def built(given: Fields) -> list[Trigger]:
        return [heard_by(trigger, owner) for trigger in build(fields_of(spec.type, given, owner))]

    found = _Built(built, names, fields, spelled, problems, path, spec.type, lenient=unknown).triggers()
    if unknown or len(problems.errors) > known_before:
        return []
    _warn(found, problems, f"{path}.{spelled.get('threshold', 'threshold')}")
    return found


class _Built:
    """Builds triggers; of fields that are wrong, complains of each: the others are tried without it."""

    def __init__(
        self,
        build: Callable[[Fields], list[Trigger]],
        names: Mapping[str, str],
        fields: Fields,
        spelled: dict[str, str],
        problems: Problems,
        path: str,
        type: str,
        *,
        lenient: bool,
    ) -> None:
        self._build = build
        self._names = names
        self._fields = fields
        self._spelled = spelled
        self._problems = problems
        self._path = path
        self._type = type
        self._lenient = lenient
        """May a field that lacks stand under a name that is unknown?"""
        self._told: dict[str, int] = {}

    def triggers(self) -> list[Trigger]:
        """What is built of all fields; nothing where one is wrong."""
        for _ in range(2 * len(self._fields) + 3):  # each may be wrong once, and lack once
            try:
                found = self._build(dict(self._fields))
            except InvalidInput as error:
                if not self._complain(error):
                    return []
            except TypeError as error:
                if not self._told and not self._lenient:
                    self._problems.add(self._path, sorted(self._fields), f"the fields of {self._type} ({error})")
                return []
            else:
                return [] if self._told else found
        return []

    def _complain(self, error: InvalidInput) -> bool:
        """Tell of a field, and leave it out; false where that is of no use."""
        field = self._field(error.path)
        times = self._told[field] = self._told.get(field, 0) + 1
        lacking = field not in self._fields
        if times == 1 and not (lacking and self._lenient):
            path = f"{self._path}.{self._spelled.get(field, field) or self._type}"
            self._problems.add(path, error.found, error.expected)
        self._fields.pop(field, None)
        needed = "symbol" if field == "symbols" else field
        if times == 1 and needed in _STAND_INS:
            self._fields[needed] = _STAND_INS[needed]
            return True
        return times <= 2 and not lacking

    def _field(self, path: str) -> str:
        """Of which argument a path speaks, such as ``PriceChange(threshold=)`` or ``queue 'orders' max_retries``."""
        field = path.rpartition("(")[2].strip(")=").rpartition(".")[2].rpartition(" ")[2]
        if field in ("symbol", "symbols"):
            return "symbols" if "symbols" in self._fields else "symbol"
        return field if field in self._fields else self._names.get(field, field)


_STAND_INS: Final = {"symbol": "BTC/USD", "level": "1", "above": "1", "times": "0 0 * * *", "name": "unsaid"}
"""For fields that a trigger must have, so that its others are looked at."""


def _warn(found: list[Trigger], problems: Problems, path: str) -> None:
    """Of what is likely not meant."""
    for one in found[:1]:
        if isinstance(one, PriceChange) and one.threshold >= 1:
            told = f"{one.threshold}, that is {one.threshold * 100:f} %"
            problems.warn(path, told, "a fraction: 0.02 is two percent")


def watched(document: Document) -> tuple[str, ...]:
    """The symbols that a document's triggers name, each once."""
    found: dict[str, None] = {}
    for spec in document.triggers:
        for name in ("symbol", "symbols"):
            value = spec.fields.get(name)
            found |= dict.fromkeys([value] if isinstance(value, str) else value if isinstance(value, list) else [])
    return tuple(str(one) for one in found)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def _need(fields: Fields, name: str, what: str) -> Any:
    if fields.get(name) in (None, "", []):
        raise InvalidInput(name, "nothing", what)
    return fields.pop(name)


def _number(value: Any) -> Any:
    """A float as the text that was written: prices and fractions are exact."""
    return repr(value) if isinstance(value, float) else value


def _exact(fields: Fields, *names: str) -> Fields:
    return {name: _number(value) if name in names else value for name, value in fields.items() if value is not None}


def _symbols(fields: Fields) -> list[str]:
    given = fields.pop("symbols", None)
    one = fields.pop("symbol", None)
    if one is not None and not isinstance(one, str):
        raise InvalidInput("symbol", one, "a symbol such as BTC/USD")
    found = [one] if one else []
    if isinstance(given, str) or (given is not None and not isinstance(given, list)):
        raise InvalidInput("symbols", given, "a list of symbols")
    found += given or []
    if not found or len(found) > SYMBOLS_MAX:
        raise InvalidInput("symbol", len(found) or "nothing", f"a symbol, or symbols: up to {SYMBOLS_MAX} of them")
    return found


def _price_change(fields: Fields) -> list[Trigger]:
    symbols = _symbols(fields)
    threshold = _number(fields.pop("threshold", "0.02"))
    return [PriceChange(symbol, threshold, **fields) for symbol in symbols]


def _price_cross(fields: Fields) -> list[Trigger]:
    symbols = _symbols(fields)
    level = _number(_need(fields, "level", "the price to cross"))
    options = _exact(fields, "hysteresis")
    return [PriceCross(symbol, level, **options) for symbol in symbols]


def _volume_spike(fields: Fields) -> list[Trigger]:
    symbols = _symbols(fields)
    multiplier = _number(fields.pop("multiplier", 2))
    return [VolumeSpike(symbol, multiplier, **fields) for symbol in symbols]


def _volatility(fields: Fields) -> list[Trigger]:
    index_level = _number(fields.pop("vix_threshold", None))
    options = _exact(fields, "above", "hysteresis")
    if index_level is not None:
        if "above" in options:
            raise InvalidInput("above", options["above"], "either vix_threshold or above, one of the two")
        fields.pop("symbol", None)
        options.pop("symbol", None)  # what the runs are about; the index is what is watched
        return [Volatility(index=options.pop("index", "VIX"), above=index_level, **options)]
    if "above" not in options:
        raise InvalidInput("above", "nothing", "a limit: above (a fraction a year), or vix_threshold (of the index)")
    if "index" in options:
        return [Volatility(index=options.pop("index"), **options)]
    options.pop("symbol", None)
    options.pop("symbols", None)
    return [Volatility(symbol, **options) for symbol in _symbols(fields)]


def _news_sentiment(fields: Fields) -> list[Trigger]:
    keywords = fields.pop("keywords", [])
    if "sentiment_threshold" in fields:
        # written for sentiments from 0 to 1, of which 0.5 is neutral
        return [NewsSentiment(keywords, _number(fields.pop("sentiment_threshold")), **{"scale": "unit", **fields})]
    return [NewsSentiment(keywords, _number(fields.pop("threshold", "0.7")), **fields)]


def _breaking_news(fields: Fields) -> list[Trigger]:
    return [BreakingNews(fields.pop("sources", None), **fields)]


def _schedule(fields: Fields) -> list[Trigger]:
    times = _need(fields, "times", "a cron text such as '0 9 * * 1-5', or 'market close minus 30 minutes'")
    zone = fields.pop("zone", None)
    parsed = parse_times(times, zone, fields.pop("market", "NYSE"))
    return [Schedule(parsed, **({} if zone is None else {"zone": zone}), **fields)]


def _webhook(fields: Fields) -> list[Trigger]:
    return [Webhook(_need(fields, "name", "a name: other systems post to /hooks/<name>"), **fields)]


def _queue(fields: Fields) -> list[Trigger]:
    name = _need(fields, "name", "the name of a queue")
    return [Queue(name, **{one: _seconds(value) if one in _SPANS else value for one, value in fields.items()})]


def _seconds(value: Any) -> Any:
    """A bare number counts seconds."""
    return f"{value}s" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _event(fields: Fields) -> list[Trigger]:
    name = _need(fields, "event", "the name of an event, e.g. market/news")
    found = newest_event(name)
    if found is None:
        raise InvalidInput("event", name, "the name of an event that this installation declares")
    return [When(found, fields.pop("where", None))]


def _manual(_: Fields) -> list[Trigger]:
    return [Manual()]


_SYMBOL: Final = {"symbol": "symbol", "symbols": "symbols"}
_QUEUE: Final = (
    "name", "max_retries", "visibility_timeout", "retention", "batch_size", "ordering", "deduplication",
    "dedupe_window", "capacity", "consumers",
)  # fmt: skip
_SPANS: Final = ("visibility_timeout", "retention", "dedupe_window")
_HOOK: Final = (
    "name", "secret_env", "secret_file", "scheme", "signature_header", "tolerance", "id_header", "id_field", "window",
    "headers", "where", "text",
)  # fmt: skip

TYPES: Final[dict[str, tuple[Callable[[Fields], list[Trigger]], dict[str, str]]]] = {
    "schedule": (
        _schedule,
        {"cron": "times", "times": "times", "schedule": "times", "timezone": "zone", "zone": "zone", "market": "market"}
        | {name: name for name in ("name", "missed", "overlap", "grace", "input")},
    ),
    "price_change": (
        _price_change,
        _SYMBOL | _STREAM | {"threshold": "threshold", "direction": "direction", "window": "window"},
    ),
    "price_cross": (
        _price_cross,
        _SYMBOL | _STREAM | {"level": "level", "price": "level", "threshold": "level"}
        | {"direction": "direction", "hysteresis": "hysteresis"},
    ),
    "volume_spike": (_volume_spike, _SYMBOL | _STREAM | {"multiplier": "multiplier", "window": "window"}),
    "volatility": (
        _volatility,
        _SYMBOL | _STREAM | {"vix_threshold": "vix_threshold", "index": "index", "above": "above", "threshold": "above"}
        | {"window": "window", "year": "year", "hysteresis": "hysteresis"},
    ),
    "news_sentiment": (
        _news_sentiment,
        {"symbols": "symbols", "keywords": "keywords", "sentiment_threshold": "sentiment_threshold"}
        | {"threshold": "threshold", "direction": "direction", "scale": "scale"},
    ),
    "breaking_news": (_breaking_news, {"sources": "sources", "priority": "priority"}),
    "webhook": (_webhook, {name: name for name in _HOOK}),
    "queue": (_queue, {name: name for name in _QUEUE} | {"message_retention": "retention"}),
    "event": (_event, {"event": "event", "name": "event", "event_type": "event", "where": "where"}),
    "manual": (_manual, {}),
}  # fmt: skip
"""How a type of trigger is built, and the argument that each of its fields says."""
