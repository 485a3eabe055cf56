"""A table that knows what may be given up where the terminal is narrow.

Ids, states and figures are shown whole or not at all: half a number is a wrong number. Columns that matter less are
shortened or left out, in the order in which the maker names them; one column, words for people, takes what is left of
the line and, where that is too little, ends in an ellipsis or goes on below. Where even the rest does not fit, lines
are longer than the terminal and wrap there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from textwrap import wrap
from typing import Final
from unicodedata import category

from rich.console import Console, ConsoleOptions
from rich.text import Text

Short = Callable[[str], str]
Give = str | tuple[str, Short]
"""A column to leave out, or one with what makes its cells shorter."""

_GAP: Final = 2
_LEAST_REST: Final = 8
"""Cells below which words are not worth showing."""


def printable(text: str) -> str:
    """A text for a line of a terminal: what would move its cursor or change its colours is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else ascii(c)[1:-1] for c in text)


class Grid:
    """Rows under headings, for ``Console.print`` and ``Live``."""

    def __init__(
        self,
        *headings: str,
        right: Sequence[str] = (),
        rest: str | None = None,
        give: Sequence[Give] = (),
        least: int = _LEAST_REST,
        wrap: bool = False,
    ) -> None:
        self._headings = headings
        self._right = frozenset(right)
        self._rest = rest
        self._give = give
        self._least = least
        self._wrap = wrap
        """Does the rest go on below?"""
        self._rows: list[list[Text]] = [[Text(heading, style="bold") for heading in headings]]

    def add(self, *cells: str | Text) -> None:
        """One row; a cell for each heading."""
        self._rows.append([cell if isinstance(cell, Text) else Text(printable(cell)) for cell in cells])

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> list[Text]:
        """The table as lines for a terminal of so many cells."""
        columns = {
            heading: [row[place] for row in self._rows]
            for place, heading in enumerate(self._headings)
            if heading != self._rest
        }
        for give in self._give:
            if _wide(columns) + (_GAP + self._least if self._rest else 0) <= width:
                break
            name = give if isinstance(give, str) else give[0]
            if isinstance(give, str):
                del columns[name]
            else:
                columns[name] = [cell if cell.plain == name else _short(cell, give[1]) for cell in columns[name]]
        left = width - _wide(columns) - _GAP
        if self._rest is not None and left >= _LEAST_REST:
            place = self._headings.index(self._rest)
            rest = [row[place] for row in self._rows]
            if self._wrap:
                return self._wrapped(columns, rest, left)
            columns[self._rest] = [_cut(cell, left) for cell in rest]
        widths = {name: _widest(cells) for name, cells in columns.items()}
        return [self._line(number, columns, widths) for number in range(len(self._rows))]

    def _wrapped(self, columns: dict[str, list[Text]], rest: list[Text], width: int) -> list[Text]:
        """Each row with as many lines as its words need, in the last column."""
        made: dict[str, list[Text]] = {name: [] for name in (*columns, self._rest or "")}
        for number, words in enumerate(rest):
            for count, part in enumerate(wrap(words.plain, width) or [""]):
                for name, cells in columns.items():
                    made[name].append(Text() if count else cells[number])
                made[self._rest or ""].append(Text(part, style=words.style))
        widths = {name: _widest(cells) for name, cells in made.items()}
        return [self._line(number, made, widths) for number in range(len(made[self._rest or ""]))]

    def _line(self, number: int, columns: dict[str, list[Text]], widths: dict[str, int]) -> Text:
        line = Text(no_wrap=True, overflow="ignore", end="\n")
        for name, cells in columns.items():
            cell = cells[number]
            pad = " " * (widths[name] - cell.cell_len)
            if line:
                line.append(" " * _GAP)
            line.append_text(Text.assemble(pad, cell) if name in self._right else Text.assemble(cell, pad))
        line.rstrip()
        return line


def _widest(cells: Sequence[Text]) -> int:
    return max(cell.cell_len for cell in cells)


def _wide(columns: dict[str, list[Text]]) -> int:
    return sum(map(_widest, columns.values())) + _GAP * (len(columns) - 1)


def _short(cell: Text, short: Short) -> Text:
    return Text(short(cell.plain), style=cell.style)


def _cut(cell: Text, width: int) -> Text:
    cut = cell.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut
