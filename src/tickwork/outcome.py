"""The two answers a look-up may give: it happened, or it did not.

There is no third class on purpose. A look-up that cannot tell raises (``Unknown`` or whatever the wire raised); what it
was asked about then stays unknown and is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """It happened, and this is what it gave."""

    value: T


@dataclass(frozen=True, slots=True)
class NotFound:
    """It has not been seen. Not yet proof that it never will be: that is what a grace period is for."""
