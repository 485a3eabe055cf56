"""Words: texts for people in which a document may hold references to whatever there is."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from tickwork.core.expressions import as_text
from tickwork.core.language.lookup import Unfit


def words(value: Any) -> str:
    """A value as words: a text is itself, anything else is written as it is among other words.

    Raises:
        ValueError: too long, or nothing that can be written.
    """
    try:
        return as_text(value)
    except Unfit as error:
        found, expected = error.args
        raise ValueError(f"{expected}, not {found}") from None


Words = Annotated[str, BeforeValidator(words)]
"""Of a param: a reference alone, such as ``"{{event}}"``, gives what is referenced, and that may be no text."""
