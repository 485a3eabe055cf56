"""One seed's worlds: of the core (power cuts), or with ``--trading`` of the trading path; see ``make world``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    if "--trading" in arguments:
        from tests.worlds.__main__ import main as trading  # noqa: PLC0415 # ccxt takes a second

        rest = [argument for argument in arguments if argument != "--trading"]
        return trading(["--worlds", "1", *rest])
    from tests.chaos.cli import main as core  # noqa: PLC0415

    return core(["--only", "power", "--worlds", "20", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
