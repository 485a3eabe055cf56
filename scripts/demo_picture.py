"""Draws docs/demo.svg: the demo's screen as it stands part of the way through, and its closing summary.

Usage: .venv/bin/python scripts/demo_picture.py
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from tickwork.app import open_demo
from tickwork.faces import demo as face
from tickwork.service.demo import DemoOptions

SHOWN_AT = 13_000
"""Bars after which the screen is drawn."""


async def picture() -> str:
    """Play the demo in a folder of its own and draw it."""
    sys.argv[0] = ".venv/bin/tickwork"  # what the summary suggests to try next
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        options = DemoOptions(home=Path(".tickwork"))
        session = open_demo(options)
        playing = asyncio.ensure_future(session.run())
        while session.progress.bars < SHOWN_AT and not playing.done():  # noqa: ASYNC110 - it has no such event
            await asyncio.sleep(0)
        screen = face._screen(session, session.progress.bars / 17_000)
        out = Console(record=True, width=112, file=io.StringIO(), color_system="truecolor")
        out.print(Text("$ make demo", style="bold"))
        out.print(screen)
        summary = await playing
        out.print(Group(Text(""), face._end(session, summary, 1.4, Path(".tickwork"))))
        await session.close()
        svg = out.export_svg(title="tickwork demo")
        # the reader's own monospaced font, rather than one fetched from somewhere
        return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    Path("docs/demo.svg").write_text(asyncio.run(picture()))
