"""Reads what other systems say of exits, in fractions or in percent, into ``ExitRules``.

Two forms are known:

* flat fields, camelCase or snake_case: ``{"stopLoss": "0.05", "takeProfit": "balanced", "trailing": {...}}``, every
  fraction also under a name that ends in ``Pct`` or ``_pct``, as a percent: ``{"stop_loss_pct": 5}``;
* the risk model of a signal: ``{"stopLoss": {"type": "percentage", "value": 5}, "takeProfit": {"type": "percentage",
  "value": 15}, "trailing": {"enabled": true, "activationPct": 10, "trailingPct": 3}}``. Its ``value`` comes in both
  units: from 1 on it is a percent, below 1 a fraction. So half a percent can only be said by 0.005, or in the first
  form.

These are documents of programs and models, so floats are taken, by their shortest text: ``0.05`` is five hundredths.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.trading.exits.fractions import ONE, camel
from tickwork.trading.exits.rules import BreakEven, ExitRules, Trailing
from tickwork.trading.exits.targets import Target, ladder
from tickwork.values import EXACT, FRACTION, money

_HUNDREDTH: Final = Decimal("0.01")
_PERCENT: Final = "_pct"
_NUMBERS: Final = ("stop_loss", "hard_stop", "ratchet")
_FIELDS: Final = (*_NUMBERS, "stop_price", "take_profit", "trailing", "break_even", "max_hold")


def read_rules(document: Mapping[str, Any], path: str = "exits") -> ExitRules:
    """The rules a document asks for; see the module's text for its forms.

    Raises:
        InvalidInput: an unknown field, one given twice, or a wrong value; names it.
    """
    fields = _snake(document, path)
    rules: dict[str, Any] = {}
    for name, value in fields.items():
        base = name.removesuffix(_PERCENT)
        if base not in _FIELDS or (base != name and base in ("stop_price", "trailing", "break_even", "max_hold")):
            raise InvalidInput(
                f"{path}.{camel(name)}", value, f"one of {', '.join(_FIELDS)}; fractions also with {_PERCENT}"
            )
        if base in rules:
            raise InvalidInput(f"{path}.{camel(name)}", value, f"either {base} or {base}{_PERCENT}")
        if value is not None:
            rules[base] = _read(base, value, f"{path}.{camel(name)}", percent=base != name)
    return ExitRules(**{name: value for name, value in rules.items() if value is not None})


def _read(name: str, value: Any, path: str, *, percent: bool) -> Any:
    if name in _NUMBERS:
        return _model_value(value, path) if isinstance(value, Mapping) else _fraction(value, path, percent=percent)
    if name == "stop_price":
        return _number(value, path)
    if name == "take_profit":
        return _targets(value, path, percent=percent)
    if name == "trailing":
        return _trailing(value, path)
    if name == "break_even":
        fields = _mapping(value, path)
        _only(fields, ("after", "offset"), path)
        return BreakEven(_either(fields, ("after",), path), _either(fields, ("offset",), path, Decimal(0)))
    return value


def _targets(value: Any, path: str, *, percent: bool) -> tuple[Target, ...]:
    if isinstance(value, str) and not re.fullmatch(r"[\d.]+", value):
        return ladder(value)
    if isinstance(value, Mapping):
        return (Target(_model_value(value, path)),)
    if not isinstance(value, list | tuple):
        return (Target(_fraction(value, path, percent=percent)),)
    found = []
    for n, level in enumerate(value):
        at = f"{path}[{n}]"
        fields = _mapping(level, at)
        _only(fields, ("profit", "share"), at)
        found.append(Target(_either(fields, ("profit",), at), _either(fields, ("share",), at, ONE)))
    return tuple(found)


def _trailing(value: Any, path: str) -> Trailing | None:
    fields = _mapping(value, path)
    _only(fields, ("enabled", "activation", "distance", "trailing", "trailing_percent"), path)
    enabled = fields.get("enabled", True)
    if not isinstance(enabled, bool):
        raise InvalidInput(f"{path}.enabled", enabled, "true or false")
    if not enabled:
        return None
    if "trailing_percent" in fields:
        fields["trailing_pct"] = fields.pop("trailing_percent")
    return Trailing(_either(fields, ("distance", "trailing"), path), _either(fields, ("activation",), path, Decimal(0)))


def _either(fields: Mapping[str, Any], names: tuple[str, ...], path: str, default: Decimal | None = None) -> Decimal:
    """One fraction by one of its names, or by one of them with ``_pct``."""
    given = [(name, percent) for base in names for name, percent in ((base, False), (base + _PERCENT, True))]
    found = [(name, percent) for name, percent in given if fields.get(name) is not None]
    if len(found) > 1:
        raise InvalidInput(f"{path}.{camel(found[1][0])}", fields[found[1][0]], f"either that or {found[0][0]}")
    if found:
        name, percent = found[0]
        return _fraction(fields[name], f"{path}.{camel(name)}", percent=percent)
    if default is None:
        raise InvalidInput(f"{path}.{camel(names[0])}", "nothing", "a fraction, or a percent with _pct")
    return default


def _model_value(value: Mapping[str, Any], path: str) -> Decimal:
    fields = _snake(value, path)
    if set(fields) != {"type", "value"} or fields["type"] != "percentage":
        raise InvalidInput(path, str(dict(value))[:200], "{type: percentage, value: ...}")
    number = _number(fields["value"], f"{path}.value")
    return _percent(number) if number >= 1 else number


def _fraction(value: Any, path: str, *, percent: bool) -> Decimal:
    number = _number(value, path)
    return _percent(number) if percent else number


def _percent(number: Decimal) -> Decimal:
    return EXACT.multiply(number, _HUNDREDTH)


def _number(value: Any, path: str) -> Decimal:
    return money(repr(value) if isinstance(value, float) else value, path, FRACTION)


def _mapping(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(path, repr(value)[:200], "an object")
    return _snake(value, path)


def _only(fields: Mapping[str, Any], known: tuple[str, ...], path: str) -> None:
    for name in fields:
        if name.removesuffix(_PERCENT) not in known:
            raise InvalidInput(
                f"{path}.{camel(name)}", fields[name], f"one of {', '.join(known)}; fractions also with _pct"
            )


def _snake(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in document.items():
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", str(key)).lower()
        if name in found:
            raise InvalidInput(f"{path}.{key}", value, "each field once")
        found[name] = value
    return found
