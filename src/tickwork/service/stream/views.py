"""Views: what a client can subscribe to, by name, and who may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tickwork.core.tape import Record
from tickwork.errors import Forbidden, InvalidInput
from tickwork.service.api.caller import Caller
from tickwork.service.stream import attention, events, one_run, queues, runs, trading
from tickwork.service.stream.part import Part

PartName = tuple[str, ...]
"""What a part is and about what: ``("run", "r12")``. Views that name the same part share it."""

NAME_MAX: Final = 300
"""Characters of a view's name."""

_PLAIN: Final[dict[str, Callable[[], Part]]] = {
    "runs": runs.Runs,
    "counts": runs.Counts,
    "approvals": attention.Approvals,
    "letters": attention.Letters,
    "halts": attention.Halts,
    "breakers": attention.Breakers,
    "schedules": attention.Schedules,
    "feeds": attention.Feeds,
    "priceAlerts": attention.PriceAlerts,
    "alerts": attention.Alerts,
    "queues": queues.Queues,
    "trading": trading.Trading,
    "events": events.Events,
}

VIEWS: Final[dict[str, tuple[str, ...]]] = {
    "now": (
        "counts", "runs", "approvals", "letters", "halts", "breakers", "alerts", "feeds", "schedules", "trading",
    ),
    "runs": ("counts", "runs"),
    "queues": ("queues", "letters"),
    "schedules": ("schedules",),
    "trading": ("trading", "halts", "breakers", "alerts", "priceAlerts", "feeds"),
    "events": ("events",),
}  # fmt: skip
"""Views of everything, by name, with their parts."""

_OF_QUEUES: Final = frozenset({"message", "leased", "extended", "acked", "returned", "send", "delivered"})
_OF_LETTERS: Final = frozenset({"dead", "dead_letter", "redriven", "discarded"})
_OF_SCHEDULES: Final = frozenset({"schedule", "skipped"})


@dataclass(frozen=True, slots=True)
class View:
    """A view: its parts, and whose it is."""

    name: str
    parts: tuple[PartName, ...]
    run: str = ""
    """The run it is about; its tail tells of no other."""
    queue: str = ""
    owner: str | None = None
    """Whose runs its tail tells of; ``None``: everybody's."""

    def tells(self, record: Record) -> bool:
        """Does the tail of this view tell of a record (of its run, of its owner)?"""
        kind, name = record.kind, record.name
        match self.name.partition(":")[0]:
            case "queues":
                return kind in _OF_QUEUES or kind in _OF_LETTERS
            case "queue":
                return kind in _OF_QUEUES and name == self.queue
            case "schedules":
                return kind in _OF_SCHEDULES
            case "trading":
                return kind in ("event", "emit") and name.startswith(("trading/", "market/"))
            case "events":
                return kind in ("event", "emit")
            case _:
                return True


def view_named(name: object, caller: Caller) -> View:
    """The view of this name, as this caller may see it.

    Whoever is bound to an owner sees that owner's runs and nothing that is about all.

    Raises:
        InvalidInput: there is none. Forbidden: the caller may not see it.
    """
    if not caller.may("read"):
        raise Forbidden("the live stream", caller.name, "the right to read")
    if not isinstance(name, str) or len(name) > NAME_MAX:
        raise InvalidInput("view", name, f"a name of at most {NAME_MAX} characters")
    kind, _, about = name.partition(":")
    owner = caller.owner
    if kind == "run" and about:
        whose = () if owner is None else (owner,)
        return View(name, (("run", about, *whose),), run=about, owner=owner)
    if owner is not None and name != "runs":
        raise Forbidden(f"the view {name[:80]}", caller.name, "a caller that is bound to no owner")
    if kind == "queue" and about:
        return View(name, (("queue", about),), queue=about)
    if name not in VIEWS:
        raise InvalidInput("view", name, f"one of {', '.join(VIEWS)}, run:<id>, queue:<name>")
    whose = () if owner is None else (owner,)
    return View(name, tuple((part, *whose) for part in VIEWS[name]), owner=owner)


def part_named(name: PartName) -> Part:
    """A new part of this name."""
    kind, *about = name
    if kind == "run":
        return one_run.OneRun(*about)
    if kind == "queue":
        return queues.Messages(*about)
    if about:
        return {"runs": runs.Runs, "counts": runs.Counts}[kind](about[0])
    return _PLAIN[kind]()


def kinds_of(view: View) -> list[str]:
    """The kinds of entities that a view holds."""
    types = {"run": one_run.OneRun, "queue": queues.Messages}
    found = [types.get(part[0]) or _PLAIN[part[0]] for part in view.parts]
    return [kind for part in found for kind in part.kinds]  # type: ignore[union-attr]
