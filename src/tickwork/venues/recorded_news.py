"""News as they were recorded: a JSON Lines file of news items, each known from its ``knownAt`` on and not before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from tickwork.core.event import complaints
from tickwork.errors import InvalidInput
from tickwork.graph.problems import Problems
from tickwork.market.news import NewsItem
from tickwork.values import timestamp_ns


def read_news(path: Path) -> list[NewsItem]:
    """The items of a file, one JSON object (as ``NewsItem.to_wire`` writes it) in a line, in the order they were known.

    Each gets the file's name and its line (from 0) as recording and offset.

    Raises:
        InvalidInput: the file cannot be read.
        InvalidDocument: lines that are no item, or two that are one (source and id); all of them, by line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(str(path), reason, "a JSON Lines file of news items") from None
    problems = Problems()
    found: list[NewsItem] = []
    seen: dict[tuple[str, str], int] = {}
    for offset, line in enumerate(lines):
        item = _item(line, f"line {offset + 1}", problems) if line.strip() else None
        if item is None:
            continue
        before = seen.setdefault((item.source, item.id), offset)
        if before != offset:
            problems.add(f"line {offset + 1}", f"{item.source} {item.id}", f"another item than line {before + 1}")
        found.append(item.replace(recording=path.stem, offset=offset))
    problems.check(str(path))
    return sorted(found, key=lambda item: (item.known_at, item.offset))


def _item(line: str, where: str, problems: Problems) -> NewsItem | None:
    """The item of a line; ``None``: it is none, and why is among the problems."""
    try:
        return NewsItem.model_validate_json(line)
    except ValidationError as error:
        told = complaints(NewsItem, error)
    except InvalidInput as error:
        told = [error]
    for one in told:
        field = one.path.removeprefix(NewsItem.event_name).removeprefix(".")
        problems.add(f"{where}, {field}" if field else where, one.found, one.expected)
    return None


class RecordedNews:
    """A ``graph.sources.News`` over items in the order in which they became known. ``clock``: ns since 1970 UTC."""

    source_name: ClassVar[str] = "news"
    configure: ClassVar[str] = "a recording of news (--news) or a news feed in tickwork.toml"

    def __init__(self, items: Iterable[NewsItem], clock: Callable[[], int]) -> None:
        self.items = list(items)
        self._times = [timestamp_ns(item.known_at) for item in self.items]
        self._clock = clock

    async def recent(self, symbols: Sequence[str], since: int, limit: int) -> list[NewsItem]:
        """Items known after ``since`` (ns) and by now, newest first; those about ``symbols`` where any are given.

        Raises:
            InvalidInput: a limit below 1.
        """
        if limit < 1:
            raise InvalidInput("limit", limit, "a whole number from 1")
        wanted = set(symbols)
        known = self.items[bisect_right(self._times, since) : bisect_right(self._times, self._clock())]
        found = (item for item in reversed(known) if not wanted or wanted.intersection(item.symbols))
        return [item for item, _ in zip(found, range(limit), strict=False)]
