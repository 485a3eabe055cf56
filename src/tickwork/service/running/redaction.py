"""Secrets are kept out of what is logged: those that are known, and what looks like one.

Known are the values of the environment variables whose names say that they are secret, whatever the configuration
calls them besides, and what notifications conceal (``venues.notifications``). Beyond these a text is freed of what
stands where a secret stands: after ``token=``, in an ``Authorization`` header, before the ``@`` of an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from tickwork.venues.notifications import concealed

HIDDEN: Final = "***"

_SHORTEST: Final = 6
"""Characters of a value that is looked for; a shorter one would be found in everything."""
_NAME: Final = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_|$)")
# none of these looks ahead for longer than its word: what is logged may be of whoever asks, and holds up the loop
_WORD: Final = r"(?:api[_-]?key|apikey|secret|token|signature|passw(?:or)?d|passphrase|private[_-]?key)(?:[_-]?key)?"
_ASSIGNED: Final = re.compile(
    rf"""(?P<before>{_WORD}["']?\s?[=:]\s?["']?)(?P<secret>[^\s"'&,;:)}}\]]{{4,}})""", re.IGNORECASE
)
_HEADER: Final = re.compile(r"\b(?P<before>(?:Bearer|Basic)\s+)(?P<secret>[\w.~+/=-]{8,})", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"(?P<before>[a-z0-9]://)(?P<secret>[^\s/@]+)(?=@)", re.IGNORECASE)
_SHAPES: Final = re.compile(r"\bsk-[\w-]{16,}|(?<!\d)\d{6,12}:[\w-]{30,}|\btickwork_[\w-]{43}")
"""Keys of OpenAI, of Telegram's bots and our own tokens are known by their form alone."""


class Redactor:
    """Takes secrets out of texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for one in secrets:
            if len(one) >= _SHORTEST:
                forms |= {one, quote(one), quote(one, safe=""), quote_plus(one), repr(one)[1:-1]}
        # the longest first: a part of a part would leave the rest of it
        self._forms = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        for pattern in (_HEADER, _ASSIGNED, _ADDRESS):
            text = pattern.sub(rf"\g<before>{HIDDEN}", text)
        return concealed(_SHAPES.sub(HIDDEN, text))


def secrets_in(environ: Mapping[str, str], names: Iterable[str] = ()) -> set[str]:
    """Values of an environment that are secret: of these variables, and of those whose names say so."""
    told = {name.upper() for name in names}
    return {
        value.strip()
        for name, value in environ.items()
        if name.upper().removeprefix("TICKWORK_") in told or _NAME.search(name.upper())
    }
