"""Secrets of feeds: filled in from the environment, checked there, and kept out of everything that is said.

Configuration writes ``${NAME}`` where the value of the variable ``NAME`` belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Template
from typing import Final
from urllib.parse import quote, quote_plus

from tickwork.errors import InvalidInput

HIDDEN: Final = "***"
"""What is said instead of a secret."""


def filled(text: str, environ: Mapping[str, str], field: str) -> tuple[str, frozenset[str]]:
    """A configured text with its variables filled in, and their values.

    Raises:
        InvalidInput: a variable that is not set, is empty, or holds letters beyond ASCII or white space around it, such
            as the end of the line in a file of secrets; a lone dollar sign. It names the variable, never its value.
    """
    template = Template(text)
    if not template.is_valid():
        raise InvalidInput(field, "a lone $", "${NAME}, or $$ for a dollar sign")
    values: dict[str, str] = {}
    for name in template.get_identifiers():
        if name not in environ:
            raise InvalidInput(
                field, "an environment without it", f"the environment variable {name}, which holds the secret"
            )
        value = environ[name]
        if not value:
            raise InvalidInput(field, "an empty text", f"the secret in the environment variable {name}")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            found = "white space around it, a control character, or a letter that is not ASCII"
            raise InvalidInput(field, found, f"nothing but the secret in the environment variable {name}")
        values[name] = value
    return template.substitute(values), frozenset(values.values())


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, also as they stand in URLs and in quoted texts."""
    forms = {
        form for one in secrets for form in (one, quote(one), quote(one, safe=""), quote_plus(one), repr(one)[1:-1])
    }
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text


def told(error: BaseException, feed: object = None) -> str:
    """What may be said of an exception: its class and words, without the secrets of the feed it comes from."""
    name = type(error).__name__
    if isinstance(error, UnicodeError):
        return f"{name}: {error.reason}" if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else name
    return f"{name}: {redacted(str(error), getattr(feed, 'secrets', ()))}"
