"""What documents and workflows name and the recordings of a session do not have, said before anything is played."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from tickwork.core.trigger import Manual, Trigger
from tickwork.core.workflow import Workflow
from tickwork.graph.compiling import DocumentWorkflow
from tickwork.graph.problems import Problem, Problems, nearest
from tickwork.graph.wiring.planned import Planned
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.market.triggers.base import BarTrigger
from tickwork.service.document_files import called_by
from tickwork.service.paper import PaperOptions
from tickwork.service.paper_timeline import Feeding
from tickwork.values import duration_text

_DEALERS: Final = ("providers", "trader")
"""Sources of nodes that ask for prices or place orders: what such a node names must be traded here."""
_CALLS: Final = ("workflow_id", "workflow")
"""Params of nodes that start another document."""
_SYMBOLS: Final = ("symbol", "symbols", "pair")
_VENUES: Final = ("venue", "provider", "provider_names", "buy_venue", "sell_venue")


def check(
    workflows: Sequence[Workflow], recordings: Sequence[Recording], feeding: Feeding, options: PaperOptions
) -> list[str]:
    """What will not happen, a line each.

    Raises:
        InvalidDocument: a workflow that nothing would ever start, because what its triggers watch is not there; or a
            node that asks for a symbol or a venue that is not. All of one workflow at once.
    """
    called, warnings = _called(workflows), list[str]()
    for workflow in workflows:
        problems, name = Problems(), _name(workflow)
        # what is not there is an error where nothing else starts a run
        watching = [trigger for trigger in workflow.triggers if isinstance(trigger, BarTrigger)]
        idle = [trigger for trigger in watching if str(trigger) in feeding.unfed]
        starts = name in called or _by_hand(workflow, workflows, options)
        starts = starts or any(_can_fire(one, options) for one in workflow.triggers if one not in idle)
        for trigger in idle:
            problem = _unfed(trigger, recordings)
            if starts:
                warnings.append(f"{name}.{problem}")
            else:
                problems.found.append(problem)
        warnings += [
            f"{name}.triggers.{trigger.kind}: never fires, for there are no recorded news"
            for trigger in workflow.triggers
            if _of_news(trigger) and options.news is None
        ]
        if isinstance(workflow, DocumentWorkflow):
            for node in workflow.plan.nodes:
                problems.found += _of_node(node, recordings)
        problems.check(name)
        warnings += [f"{name}.{problem}" for problem in problems.warnings]
    return warnings


def _name(workflow: Workflow) -> str:
    return workflow.plan.document.name if isinstance(workflow, DocumentWorkflow) else workflow.name


def _called(workflows: Iterable[Workflow]) -> set[str]:
    """Documents that nodes of others start."""
    documents = (one.plan.document for one in workflows if isinstance(one, DocumentWorkflow))
    return {name for document in documents for name in called_by(document)}


def _by_hand(workflow: Workflow, workflows: Sequence[Workflow], options: PaperOptions) -> bool:
    by_hand = options.by_hand
    return by_hand is not None and workflow.name == (by_hand.workflow or workflows[0].name)


def _of_news(trigger: Trigger) -> bool:
    return trigger.event is NewsItem


def _can_fire(trigger: Trigger, options: PaperOptions) -> bool:
    return not isinstance(trigger, Manual) and not (_of_news(trigger) and options.news is None)


def _unfed(trigger: BarTrigger[Any], recordings: Sequence[Recording]) -> Problem:
    """Why no recording feeds a trigger: its symbol, its venue or the length of its bars."""
    path = f"triggers.{trigger.kind}"
    heads = [one.header for one in recordings if one.header.symbol == trigger.symbol]
    if not heads:
        return Problem(f"{path}.symbol", trigger.symbol, _listed(trigger.symbol, recordings))
    venues = list(dict.fromkeys(head.venue for head in heads))
    if trigger.venue is not None and trigger.venue not in venues:
        return Problem(f"{path}.venue", trigger.venue, f"a venue whose {trigger.symbol} the data has: {_some(venues)}")
    lengths = [
        f"{duration_text(head.interval_ns)} at {head.venue}" for head in heads if trigger.venue in (None, head.venue)
    ]
    expected = f"a length of bars that the data has of {trigger.symbol}: {_some(lengths)}"
    return Problem(f"{path}.interval", duration_text(trigger.interval_ns or 0), expected)


def _listed(name: str, recordings: Sequence[Recording], venue: str = "") -> str:
    """What would be right instead of a symbol, the nearest first."""
    of = {one.header.symbol: one.name for one in recordings if venue in ("", one.header.venue)}
    near = get_close_matches(name, of, len(of), 0.4)
    ordered = [*near, *sorted(set(of) - set(near))]
    told = _some([f"{symbol} ({of[symbol]})" for symbol in ordered])
    return f"a symbol that the data has{f' of {venue}' if venue else ''}: {told}"


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _of_node(node: Planned, recordings: Sequence[Recording]) -> Iterator[Problem]:
    """What a node's own params name that is not there. One whose failure the document allows for is only warned of."""
    if node.undo is not None:
        yield from _of_node(node.undo, recordings)
    if not any(node.constants.get(source) is not None for source in _DEALERS):
        return
    allowed = node.node.on_error != "stop"
    for path, found, expected in _missing(node.constants, recordings):
        yield Problem(f"nodes.{node.id}.params.{path}", found, expected, "warning" if allowed else "error")


def _missing(params: Mapping[str, Any], recordings: Sequence[Recording]) -> Iterator[tuple[str, str, str]]:
    venues = {one.header.venue for one in recordings}
    named: list[str] = []
    for param in _VENUES:
        for venue in _texts(params.get(param)):
            named.append(venue)
            if venue not in venues:
                yield param, venue, f"a venue of the data: {nearest(venue, venues)}"
    at = named[0] if len(named) == 1 and named[0] in venues else ""
    listed = [one.header.symbol for one in recordings if at in ("", one.header.venue)]
    spelled = {form for symbol in listed for form in (symbol, *_joined(symbol))}
    for param in _SYMBOLS:
        for symbol in _texts(params.get(param)):
            if symbol not in spelled and not spelled.intersection(_joined(symbol)):
                yield param, symbol, _listed(symbol, recordings, at)


def _joined(symbol: str) -> tuple[str, ...]:
    """How venues spell it, without what a contract is settled in, too."""
    forms = (symbol, symbol.partition(":")[0])
    return tuple("".join(char for char in form.upper() if char.isalnum()) for form in forms)


def _texts(value: Any) -> list[str]:
    found = value if isinstance(value, list | tuple) else [value]
    return [one for one in found if isinstance(one, str) and one]
