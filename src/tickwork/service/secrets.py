"""Secrets by reference: the name of an environment variable, or the path of a file. Read when needed, kept nowhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tickwork.errors import InvalidInput

FILE_MAX = 1 << 16
"""Bytes of a file that can be a secret."""


class Secrets:
    """Looks secrets up. Its text shows none, and no error names what was found."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    def __repr__(self) -> str:
        return "Secrets()"

    def read(self, what: str, *, env: str = "", file: str = "") -> bytes:
        """The secret of ``what``, from an environment variable or a file; a file's last line break is not part of it.

        Raises:
            InvalidInput: the variable is not set, the file cannot be read, or there is nothing in it.
        """
        path = f"secret of {what}"
        if env:
            found = self._environ.get(env, "").encode("utf-8", "surrogateescape")
            if not found:
                raise InvalidInput(path, "nothing", f"a secret in the environment variable {env}")
            return found
        if not file:
            raise InvalidInput(path, "nothing", "a secret in an environment variable or a file")
        try:
            with Path(file).open("rb") as opened:
                found = opened.read(FILE_MAX + 1)
        except OSError as error:
            raise InvalidInput(path, error.strerror or "an error", f"a secret in the file {file}") from None
        found = found.removesuffix(b"\n").removesuffix(b"\r")
        if not 0 < len(found) <= FILE_MAX:
            raise InvalidInput(path, f"{len(found)} bytes", f"a secret of 1 to {FILE_MAX} bytes in the file {file}")
        return found
