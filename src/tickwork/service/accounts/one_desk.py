"""One desk for each account of a venue on this machine: two would not know of each other's orders, limits and halts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path

from tickwork.engines.embedded.lock import OwnerLock
from tickwork.errors import InvalidInput, TapeLocked


def claim(account: str, venue: str, url: str, key: str, env: Mapping[str, str]) -> Callable[[], None]:
    """Claim an account, known by its key; returns what lets it go. The claim dies with the process.

    Raises:
        InvalidInput: another desk of this machine trades on it.
        TapeError: the folder of such claims cannot be written.
    """
    shared = env.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(shared) / f"tickwork-{os.getuid()}"
    digest = blake2b(f"{venue} {url} {key}".encode(), digest_size=8).hexdigest()  # no key stands in a file's name
    try:
        return OwnerLock(str(folder / f"{venue}-{digest}")).release
    except TapeLocked:
        expected = f"a key that no other desk uses: another process of this machine trades at {venue} with it"
        raise InvalidInput(f"accounts.{account}.key_env", "a key in use", expected) from None
