"""Block documents, as the arbitrage builder saves them: ``{blocks[], connections[]}``.

A connection names blocks by id or by their place in the list, and ports by index: ``{from: {blockId, index}, to:
{blockId, index}}`` or ``{from: {blockIndex, outputIndex}, to: {blockIndex, inputIndex}}``. An index counts the block's
own ``inputs`` or ``outputs``; where it lists none, those of the editor's type. Ports go by name as well, ``{from:
{block: a, port: price}}``, and where none is said by what fits: ``{from: a, to: b}``, ``{source: 0, target: 1}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tickwork.core.language.lookup import kind_of
from tickwork.graph.document import Document
from tickwork.graph.importers.building import Building
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.ports import Block, Blocks, End, settle_config
from tickwork.graph.library import Types

Found = list[tuple[str, Block]]
"""Blocks with their foreign ids, in their order."""

DOCUMENT: Final = "id name description version blocks connections edges triggers config metadata priority category"
BLOCK: Final = (
    "id name label category type properties config inputs outputs x y width height icon color status metadata"
)
CONNECTION: Final = "id from to source target source_port target_port label condition"
_OTHER_WORD: Final = {"from": "source", "to": "target"}
_WANTED: Final = 'a block by its id or its place, or an object such as {"block": "a", "port": "price"}'
_INFORMS: Final = (
    "id", "version", "category", "difficulty", "providers", "roi", "frequency", "capital", "created_at", "updated_at",
    "tags", "author",
)  # fmt: skip


def read_blocks(root: Any, library: Types, name: str = "") -> tuple[Document, list[str]]:
    """A block document as a document, and what has changed its meaning.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    building = Building(root, library, name)
    informs(building)
    return connected(building, _blocks, "connections" if "connections" in building.fields else "edges", DOCUMENT)


def informs(building: Building, *keys: str) -> None:
    """Keep what a document only tells of itself: these fields, and those that documents of all formats have."""
    for key in (*keys, *_INFORMS):
        value = building.fields.take(key)
        if value is not None:
            building.keep(key, value)


def connected(
    building: Building, read: Callable[[Building, Blocks], Found], connections: str, known: str
) -> tuple[Document, list[str]]:
    """A document of blocks and connections, and what has changed its meaning.

    Args:
        read: the blocks of the document, with their foreign ids.
        connections: the field that has the connections.
        known: the names of the fields that the document may have.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    config = settle_config(building)
    if config:
        building.keep("config", config)
    adding = Blocks(building)
    _connect(building, adding, read(building, adding), connections)
    building.fields.done(known)
    return building.finish(), building.notes


def _blocks(building: Building, adding: Blocks) -> Found:
    """The blocks with their foreign ids, in their order."""
    raw = [
        Fields(value, f"document.blocks[{index}]", building.problems)
        for index, value in enumerate(building.fields.items("blocks"))
    ]
    if not raw:
        building.problems.add("document.blocks", "none", "at least one block")
    given = [fields.word("id") for fields in raw]
    for fields, one in zip(raw, given, strict=True):
        if one and given.count(one) > 1:
            building.problems.add(fields.at("id"), one, "an id that no other block has")
    building.names.claim([one for one in dict.fromkeys(given) if one])
    found = []
    for index, (fields, one) in enumerate(zip(raw, given, strict=True)):
        wanted = str(fields.peek("type") or f"block_{index + 1}")
        id_ = building.names.id(one) if one else building.names.fresh(wanted)
        settings = fields.object("properties") | fields.object("config")
        where = fields.at("properties" if "properties" in fields else "config")
        block = adding.add(fields, id_, settings, where)
        fields.done(BLOCK)
        found.append((one, block))
    return found


def _connect(building: Building, adding: Blocks, found: Found, key: str) -> None:
    """Read the connections of a document, and add them."""
    for index, value in enumerate(building.fields.items(key)):
        path = f"document.{key}[{index}]"
        fields = Fields(value, path, building.problems)
        source = _end(fields, "from", found, "output_index", building)
        target = _end(fields, "to", found, "input_index", building)
        fields.take("id")
        label, condition = fields.text("label"), fields.text("condition")
        fields.done(CONNECTION)
        if source is not None and target is not None:
            adding.connect(source, target, label, condition, path)


def _end(fields: Fields, side: str, blocks: Found, index_name: str, building: Building) -> End | None:
    """One end of a connection."""
    key = _OTHER_WORD[side] if side not in fields and _OTHER_WORD[side] in fields else side
    value = fields.take(key)
    words = [f"{word}_{port}" for word in (side, _OTHER_WORD[side]) for port in ("port", "handle")]
    beside = [word for word in words if word in fields]
    if value is None:
        building.problems.add(fields.at(key), "nothing", _WANTED)
        return None
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = {"block": value}
    elif not isinstance(value, Mapping):
        building.problems.add(fields.at(key), kind_of(value), _WANTED)
        return None
    at = Fields(value, fields.at(key), building.problems)
    name, number = _block_of(at)
    port: Any = at.take("index", index_name, "port", "port_name", "handle")
    place = next((at.at(one) for one in ("index", index_name, "port", "port_name", "handle") if one in at), at.path)
    if beside:
        place, port = fields.at(beside[0]), fields.take(*beside)
    at.done(f"block node block_id block_index index {index_name} port")
    whole = isinstance(port, int) and not isinstance(port, bool) and port >= 0
    if port is not None and not whole and not isinstance(port, str):
        found = port if isinstance(port, int) else kind_of(port)
        building.problems.add(place, found, "a whole number from 0, or a port's name")
        return None
    block = next((block for known, block in blocks if name and known == name), None)
    if block is None and number is not None and 0 <= number < len(blocks):
        block = blocks[number][1]
    if block is not None:
        return End(block, 0 if port is None else port, place, said=port not in (None, ""))
    told = name or (number if number is not None else "nothing")
    known = ", ".join(known for known, _ in blocks if known) or f"0 to {len(blocks) - 1}"
    building.problems.add(at.path, told, f"a block of the document ({known[:200]})")
    return None


def _block_of(at: Fields) -> tuple[str, int | None]:
    """The id and the place by which an end names its block; a number may be either, and ids come first."""
    plain = at.peek("block") if "block" in at else at.peek("node")
    name = at.word("block_id", "node_id", "id", "block", "node")
    number = at.whole("block_index", 0, 1_000_000)
    return name, plain if number is None and isinstance(plain, int) and not isinstance(plain, bool) else number
