"""Documents that ship with tickwork: where to begin, and what can be done.

Each is a YAML file with comments in ``templates/``. Its name is the file's, and its ``metadata`` says what people and
faces want to know of it: what it is about, how hard it is, whose venues it names, and on which market it can be tried.
"""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.problems import nearest
from tickwork.graph.reading import read_document, read_text

Category = Literal["arbitrage", "market_making", "directional", "prediction_markets", "high_risk", "risk"]
Difficulty = Literal["beginner", "intermediate", "advanced", "expert"]

_FOLDER: Final = "templates"
_SUFFIX: Final = ".yaml"


class Market(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated market that a document can be tried on: the arguments of ``sim.market.simulated``."""

    venues: list[str]
    symbols: list[str]
    interval: str = "1m"
    bars: int = 1_000
    prices: dict[str, Decimal] = {}
    """Where symbols begin, by base."""
    volatility: float | None = None
    """Of a year, a fraction."""
    dislocations: float | None = None
    """How often a venue is thrown off its price, per bar."""
    dislocation: float | None = None
    """How far about, a fraction."""
    stock: Decimal = Decimal(0)
    """The part of the account that is held as coins from the beginning; a fraction below 1."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the metadata of a document says."""

    id: str
    title: str
    category: Category
    difficulty: Difficulty
    providers: list[str]
    """Venues that it names."""
    simulated: Market | None = None
    """Where it can be tried."""
    recordings: list[str] = []
    """Recordings that ship with tickwork and that it can be tried on."""
    companions: list[str] = []
    """Templates that run beside it."""


def names() -> tuple[str, ...]:
    """All of them, sorted."""
    return _names()


@cache
def _names() -> tuple[str, ...]:
    found = (entry.name for entry in (files(__package__) / _FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


def text(name: str) -> str:
    """A document as it was written, with its comments.

    Raises:
        InvalidInput: there is none of this name.
    """
    if name not in names():
        raise InvalidInput("template", name, f"a template: {nearest(name, names())}")
    return (files(__package__) / _FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


@cache
def read(name: str) -> Document:
    """A document.

    Raises:
        InvalidInput: there is none of this name.
        InvalidDocument: it is none.
    """
    return read_document(read_text(text(name), name), name)


def about(name: str) -> Template:
    """What the metadata of a document says.

    Raises:
        InvalidInput: there is none of this name, or a field is missing, unknown or wrong; names it.
    """
    document = read(name)
    try:
        found = msgspec.convert(document.metadata, Template, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{name}.metadata", str(error), "what `graph.templates.Template` holds") from None
    for what, said in (("metadata.id", found.id), ("name", document.name)):
        if said != name:
            raise InvalidInput(f"{name}.{what}", said, f"the name of the file, {name}")
    return found
