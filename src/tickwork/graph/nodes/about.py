"""What a node is about: the symbols that its document says, or what starts the run."""

from __future__ import annotations

from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context


def given_symbols(context: Context) -> list[str]:
    """The symbols, or the symbol, of what starts the run; none where it names none."""
    given = context.given("symbols") or context.given("symbol") or []
    return [given] if isinstance(given, str) else list(given)


def one_symbol(said: str, context: Context) -> str:
    """The symbol that is said, else the one that the run is about.

    Raises:
        InvalidInput: the run is about none, or about several.
    """
    if said:
        return said
    symbols = context.symbols(None)
    if len(symbols) != 1:
        raise InvalidInput(f"{context.node}.symbol", ", ".join(symbols), "one symbol")
    return symbols[0]
