"""Triggers of foreign documents: objects with a ``type``, and texts such as ``schedule:0 2 * * *``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

from tickwork.core.language.lookup import kind_of
from tickwork.graph.importers.naming import word
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.triggers import TYPES

_SUBJECT: Final = {"schedule": "cron", "webhook": "name", "queue": "name", "event": "name"}
"""The field that a text such as ``schedule:0 2 * * *`` gives."""
_UNSUPPORTED: Final = {
    "file_upload": "another trigger: nothing watches for uploaded files; whoever uploads can call a webhook",
}
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_DAY: Final = 86_400


def read_trigger(
    value: Any, path: str, document: str, problems: Problems, note: Callable[[str], None]
) -> dict[str, Any] | None:
    """A trigger in the canonical form; ``None`` where it is a problem.

    Args:
        document: its name, after which a webhook without a name is called.
    """
    if isinstance(value, str):
        return _text(value, path, problems, note)
    if not isinstance(value, Mapping):
        problems.add(path, kind_of(value), "an object with a type, or a text such as 'schedule:0 2 * * *'")
        return None
    type_ = value.get("type")
    if not isinstance(type_, str) or not type_:
        problems.add(f"{path}.type", type_ if type_ is None else kind_of(type_), f"one of {', '.join(TYPES)}")
        return None
    name = word(type_)
    if not _known(name, f"{path}.type", problems):
        return None
    found = {**{str(key): one for key, one in value.items()}, "type": name}
    return webhook(found, document, path, note) if name == "webhook" else found


def _text(text: str, path: str, problems: Problems, note: Callable[[str], None]) -> dict[str, Any] | None:
    kind, colon, subject = (part.strip() for part in text.partition(":"))
    name = word(kind)
    if colon:
        if not _known(name, path, problems):
            return None
        if name not in _SUBJECT or not subject:
            problems.add(
                path, text, f"an object: of the texts there are only {', '.join(f'{n}:...' for n in _SUBJECT)}"
            )
            return None
        found = {"type": name, _SUBJECT[name]: subject}
        return webhook(found, subject, path, note) if name == "webhook" else found
    if name == "manual":
        return {"type": "manual"}
    if name in TYPES or name in _UNSUPPORTED:
        if _known(name, path, problems):
            problems.add(path, text, f"an object with the type {name!r} and its fields")
        return None
    if not name:
        problems.add(path, text, "the type of a trigger")
        return None
    return webhook({"type": "webhook"}, text, path, note)


def webhook(found: dict[str, Any], name: str, path: str, note: Callable[[str], None]) -> dict[str, Any]:
    """A webhook with what it must have: a name, and where its secret is."""
    full = {**found, "name": found.get("name") or word(name).strip("_")[:100] or "document"}
    if not {"secret_env", "secretEnv", "secret_file", "secretFile"} & full.keys():
        full["secret_env"] = f"{word(str(full['name'])).upper()}_SECRET"
    if full != found:
        secret = full.get("secret_env") or "a file"
        note(f"{path}: started by what is posted to /hooks/{full['name']}, signed with the secret in {secret}")
    return full


def _known(name: str, path: str, problems: Problems) -> bool:
    if name in _UNSUPPORTED:
        problems.add(path, name, _UNSUPPORTED[name])
    elif name not in TYPES:
        problems.add(path, name, f"a type of trigger: {nearest(name, TYPES)}")
    return name in TYPES


def clock_triggers(text: str) -> list[dict[str, Any]]:
    """Schedules of times of the day, ``"09:30,15:45"``; nothing where the text is something else."""
    found = [_CLOCK.fullmatch(part.strip()) for part in text.split(",")]
    return [
        {"type": "schedule", "cron": f"{int(one[2])} {int(one[1])} * * *"} for one in found if one is not None
    ] if all(found) else []  # fmt: skip


def polling_cron(seconds: float) -> str:
    """The cron text that comes due so often; empty where the clock has no such rhythm."""
    if not isfinite(seconds):
        return ""
    whole = int(seconds)
    if whole != seconds or whole < 1:
        return ""
    if whole < 60:
        return f"*/{whole} * * * * *" if 60 % whole == 0 else ""
    if whole < 3_600:
        return f"*/{whole // 60} * * * *" if whole % 60 == 0 and 60 % (whole // 60) == 0 else ""
    if whole < _DAY:
        return f"0 */{whole // 3_600} * * *" if whole % 3_600 == 0 and 24 % (whole // 3_600) == 0 else ""
    return "0 0 * * *" if whole == _DAY else ""
