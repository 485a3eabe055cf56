"""Checkpoints of standing triggers: what they remember, and up to where they have read each recording.

A checkpoint only saves time: everything in it can be had again by reading the recordings from the beginning. So a
damaged one is put aside, and what was fired is never asked of it but of the tape.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec

_log = logging.getLogger("tickwork.watch")


class Checkpoint(msgspec.Struct, frozen=True, rename="camel"):
    """All triggers at one moment."""

    next: dict[str, int]
    """Of each recording the offset of the first item not yet read."""
    states: dict[str, Any]
    """Of each trigger what it remembers."""


_decode = msgspec.json.Decoder(Checkpoint).decode


def load(path: Path) -> Checkpoint | None:
    """The checkpoint in a file; ``None``: there is none that can be read."""
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("the checkpoint %s cannot be read (%s) and is done without", path, error)
        return None
