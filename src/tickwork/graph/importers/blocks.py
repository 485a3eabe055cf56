"""Block documents, as the arbitrage builder saves them: ``{blocks[], connections[]}``.

A connection names blocks by id or by their place in the list, and ports by index: ``{from: {blockId, index}, to:
{blockId, index}}`` or ``{from: {blockIndex, outputIndex}, to: {blockIndex, inputIndex}}``. An index counts the block's
own ``inputs`` or ``outputs``; where it lists none, those of the editor's type.
"""

from __future__ import annotations

from typing import Any, Final

from tickwork.core.language.lookup import kind_of
from tickwork.graph.document import Document
from tickwork.graph.importers.building import Building
from tickwork.graph.importers.fields import Fields, Types
from tickwork.graph.importers.ports import Block, Blocks, End, settle_config

DOCUMENT: Final = "id name description version blocks connections triggers config metadata priority category"
BLOCK: Final = (
    "id name label category type properties config inputs outputs x y width height icon color status metadata"
)
CONNECTION: Final = "id from to label condition"
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
    config = settle_config(building)
    if config:
        building.keep("config", config)
    adding = Blocks(building)
    found = _blocks(building, adding)
    for index, value in enumerate(building.fields.items("connections")):
        path = f"document.connections[{index}]"
        fields = Fields(value, path, building.problems)
        source = end(fields, "from", found, "output_index", building)
        target = end(fields, "to", found, "input_index", building)
        fields.take("id")
        label, condition = fields.text("label"), fields.text("condition")
        fields.done(CONNECTION)
        if source is not None and target is not None:
            adding.connect(source, target, label, condition, path)
    building.fields.done(DOCUMENT)
    return building.finish(), building.notes


def informs(building: Building) -> None:
    """Keep what a document only tells of itself."""
    for key in _INFORMS:
        value = building.fields.take(key)
        if value is not None:
            building.keep(key, value)


def _blocks(building: Building, adding: Blocks) -> list[tuple[str, Block]]:
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


def end(fields: Fields, side: str, blocks: list[tuple[str, Block]], index_name: str, building: Building) -> End | None:
    """One end of a connection."""
    if side not in fields:
        building.problems.add(fields.at(side), "nothing", "an object that names a block and a port")
        return None
    at = Fields(fields.take(side), fields.at(side), building.problems)
    name, number = at.word("block_id", "node_id", "id"), at.whole("block_index", 0, 1_000_000)
    port = at.peek("index") if "index" in at else at.peek(index_name)
    named = at.text("port", "port_name", "handle")
    at.take("index")
    at.take(index_name)
    at.done(f"block_id block_index index {index_name}")
    place = at.at("index" if "index" in at else index_name)
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or port < 0):
        building.problems.add(place, port if isinstance(port, str | int) else kind_of(port), "a whole number from 0")
        return None
    if number is not None and number < len(blocks):
        return End(blocks[number][1], named or port or 0, place)
    block = next((block for known, block in blocks if name and known == name), None)
    if block is not None:
        return End(block, named or port or 0, place)
    told = name or (number if number is not None else "nothing")
    known = ", ".join(known for known, _ in blocks if known) or f"0 to {len(blocks) - 1}"
    building.problems.add(at.path, told, f"a block of the document ({known[:200]})")
    return None
