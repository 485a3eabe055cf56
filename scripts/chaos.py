"""Kill the real process, cut the power, and compare the books; see ``tests/chaos/cli.py``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.chaos.cli import main

if __name__ == "__main__":
    sys.exit(main())
