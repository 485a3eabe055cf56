"""How often a foreign node is tried again, and the breaker that it reports to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tickwork.core.language.lookup import kind_of
from tickwork.graph.importers.fields import Fields

_RETRY: Final = (
    "how many times it is tried again, or an object such as {max_retries: 3, delay: 2s, backoff: exponential}"
)
_BREAKER: Final = "the name of a breaker, or an object such as {failure_threshold: 3, reset_timeout: 60}"
_TIMEOUT: Final = "reset_timeout (how long it stays open) or timeout_duration (how long one attempt may take)"
_ALL_TRIES: Final = ("max_attempts", "attempts")
_FURTHER_TRIES: Final = ("max_retries", "retries", "limit")
_DELAY: Final = ("delay", "initial_delay")
_CAP: Final = ("max_delay", "cap")
_BACKOFF: Final = {"exponential": "exponential", "fixed": "fixed", "constant": "fixed"}


def read_retry(fields: Fields, note: Callable[[str], None]) -> dict[str, Any] | None:
    """``retry_attempts``, or ``retry`` as a number or an object; ``None`` where it is not tried again.

    ``max_attempts`` counts the first try, the other words do not.
    """
    if "retry" not in fields:
        limit = fields.whole("retry_attempts", 0, 99)
        return {"limit": limit} if limit else None
    value = fields.take("retry")
    if isinstance(value, Mapping):
        return _retry(Fields(value, fields.at("retry"), fields.problems), note)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 99:
        fields.problems.add(fields.at("retry"), value if isinstance(value, str | int) else kind_of(value), _RETRY)
        return None
    return {"limit": value} if value else None


def _retry(said: Fields, note: Callable[[str], None]) -> dict[str, Any] | None:
    counted = next((name for name in (*_ALL_TRIES, *_FURTHER_TRIES) if name in said), "")
    limit = said.whole(counted, int(counted in _ALL_TRIES), 100) if counted else None
    if not counted:
        said.problems.add(said.path, "no number of tries", _RETRY)
    elif counted in _ALL_TRIES and limit:
        limit -= 1
        note(f"{said.at(counted)}: the first try counts, so it is tried again {limit} times at most")
    found: dict[str, Any] = {"limit": limit}
    for key, names in (("delay", _DELAY), ("cap", _CAP)):
        length = said.seconds(next((name for name in names if name in said), key))
        found |= {key: length} if length else {}
    backoff = said.text("backoff")
    if backoff in _BACKOFF:
        found["backoff"] = _BACKOFF[backoff]
    elif backoff:
        said.problems.add(said.at("backoff"), backoff, f"one of {', '.join(_BACKOFF)}")
    jitter = said.take("jitter")
    if isinstance(jitter, int | float) and not isinstance(jitter, bool) and 0 <= jitter <= 1:
        found["jitter"] = jitter
    elif jitter is not None:
        said.problems.add(said.at("jitter"), jitter if isinstance(jitter, bool) else str(jitter)[:80], "a part, 0 to 1")
    said.done(" ".join((*_ALL_TRIES, *_FURTHER_TRIES, *_DELAY, *_CAP, "backoff jitter")))
    return found if limit else None


def read_breaker(fields: Fields, name: str) -> dict[str, Any]:
    """What a node gets whose own ``circuit_breaker`` is an object or a breaker's name; nothing where it has none.

    Args:
        name: of the breaker, where the object has none.
    """
    value = fields.take("circuit_breaker")
    if value is None or (isinstance(value, str) and value):
        return {"breaker": value} if value else {}
    if not isinstance(value, Mapping):
        fields.problems.add(fields.at("circuit_breaker"), kind_of(value), _BREAKER)
        return {}
    said = Fields(value, fields.at("circuit_breaker"), fields.problems)
    found = breaker_policy(said, name)
    if "timeout" in said:
        fields.problems.add(said.at("timeout"), said.take("timeout"), _TIMEOUT)
    said.done("name failure_threshold reset_timeout timeout_duration")
    return found


def breaker_policy(said: Fields, name: str) -> dict[str, Any]:
    """What those get who report to a breaker of these settings; takes them."""
    policy: dict[str, Any] = {"name": said.text("name") or name}
    threshold, rest = said.whole("failure_threshold", 1, 1_000_000), said.seconds("reset_timeout")
    policy |= {"threshold": threshold} if threshold else {}
    policy |= {"openFor": rest} if rest else {}
    limit = said.seconds("timeout_duration")
    return {"breaker": policy} | ({"timeout": limit} if limit else {})
