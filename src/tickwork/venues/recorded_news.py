"""News as they were recorded: a JSON Lines file of news items, each known from its ``knownAt`` on and not before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from tickwork.errors import InvalidInput
from tickwork.market.news import NewsItem
from tickwork.values import timestamp_ns


def read_news(path: Path) -> list[NewsItem]:
    """The items of a file, one JSON object (as ``NewsItem.to_wire`` writes it) in a line, in the order they were known.

    Each gets the file's name and its line (from 0) as recording and offset.

    Raises:
        InvalidInput: the file cannot be read, a line is no item, or two are one (source and id); names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(str(path), reason, "a JSON Lines file of news items") from None
    found: list[NewsItem] = []
    seen: dict[tuple[str, str], int] = {}
    for offset, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            item = NewsItem.from_wire(line)
        except InvalidInput as error:
            raise InvalidInput(f"{path}:{offset + 1} {error.path}", error.found, error.expected) from None
        before = seen.setdefault((item.source, item.id), offset)
        if before != offset:
            raise InvalidInput(
                f"{path}:{offset + 1}", f"{item.source} {item.id}", f"another item than line {before + 1}"
            )
        found.append(item.replace(recording=path.stem, offset=offset))
    return sorted(found, key=lambda item: (item.known_at, item.offset))


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
