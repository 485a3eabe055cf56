"""Social posts: which are worth reading, and how another service's webhook becomes one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.news import SocialPost
from tickwork.market.outside import at, instant_ns, maybe_at
from tickwork.values import from_ns

SHORT: Final = 30
"""Characters below which a text without a token is not worth reading."""

_TOKEN: Final = re.compile(r"\$[A-Za-z][A-Za-z0-9]{1,9}\b", re.ASCII)
_GREETING: Final = re.compile(r"[^\w$]*(gm|gn|good (morning|afternoon|evening|night)|hello)\b", re.IGNORECASE)


def worth_reading(text: str) -> bool:
    """May this post hold a trading signal? A cheap look before anybody pays a model to read it.

    No: a text of fewer than 30 characters that names no token (``$BTC``), and one that begins with a greeting
    (``gm``, ``gn`` and the like). A greeting counts even before a token: such posts were never signals.
    """
    stripped = text.strip()
    if _GREETING.match(stripped):
        return False
    return len(stripped) >= SHORT or _TOKEN.search(stripped) is not None


class PostMapping(msgspec.Struct, frozen=True, kw_only=True):
    """Where a webhook's payload holds what makes a post: dotted paths, as in ``data.user.name``."""

    id: str = "id"
    text: str = "text"
    author: str = "author"
    url: str | None = "url"
    published_at: str | None = "created_at"
    """ISO 8601 with a zone, or a number since 1970; a payload without it has no date."""


def post_from_webhook(
    payload: Mapping[str, Any], mapping: PostMapping | None = None, *, source: str, known_ns: int
) -> SocialPost:
    """The post that a webhook's JSON payload tells of. ``known_ns``: when it came in.

    Raises:
        InvalidInput: an id, a text or an author is missing, or the date is no time; names the path in the payload.
    """
    paths = mapping or PostMapping()
    published = maybe_at(payload, paths.published_at)
    url = maybe_at(payload, paths.url)
    return SocialPost(
        id=_text(payload, paths.id),
        source=source,
        author=_text(payload, paths.author).removeprefix("@"),
        text=_text(payload, paths.text),
        url=url if isinstance(url, str) else "",
        published_at=None if published is None else from_ns(instant_ns(published, str(paths.published_at))),
        known_at=from_ns(known_ns),
    )


def _text(payload: Mapping[str, Any], path: str) -> str:
    found = at(payload, path)
    if isinstance(found, int) and not isinstance(found, bool):  # ids come as numbers too
        return str(found)
    if not isinstance(found, str) or not found.strip():
        raise InvalidInput(path, repr(found)[:80], "a text that is not empty")
    return found
