"""Resources: what one looks at without choosing arguments. Each is a query, with the query's rights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import mcp_types as types
import msgspec

from tickwork.errors import NotFound
from tickwork.faces.mcp.answers import Answers
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import permitted
from tickwork.service.operations.all import CATALOGUE

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One resource, or a template of many."""

    uri: str
    """Ends in ``{field}`` where there are many."""
    operation: str
    description: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """What the addresses of many begin with."""
        return self.uri.partition("{")[0]

    @property
    def many(self) -> str:
        """The argument that tells one of many; ``""``: there is one."""
        return self.uri.partition("{")[2].removesuffix("}")

    @property
    def name(self) -> str:
        """Such as ``runs-recent``."""
        return self.uri.replace("://", "-").replace("{", "").replace("}", "")


SHOWN: Final = (
    Shown(
        uri="portfolio://positions",
        operation="positions.list",
        description="What the accounts hold, and what that is worth.",
    ),
    Shown(uri="runs://recent", operation="runs.list", description="The last runs.", arguments={"limit": 20}),
    Shown(uri="runs://{run}", operation="runs.show", description="One run: its steps, and what it did."),
    Shown(
        uri="documents://{workflow_id}",
        operation="workflows.show",
        description="One workflow document, as it is stored.",
    ),
    Shown(uri="alerts://active", operation="alerts.list", description="Price alerts that stand."),
)
"""Only those whose operation there is, and that a caller may use, are shown."""


def fixed(caller: Caller) -> list[types.Resource]:
    """Those with an address of their own."""
    return [
        types.Resource(uri=one.uri, name=one.name, description=one.description, mime_type=JSON)
        for one in _seen(caller)
        if not one.many
    ]


def templates(caller: Caller) -> list[types.ResourceTemplate]:
    """Those of which there are many."""
    return [
        types.ResourceTemplate(uri_template=one.uri, name=one.name, description=one.description, mime_type=JSON)
        for one in _seen(caller)
        if one.many
    ]


async def read(service: Answers, uri: str, caller: Caller) -> types.ReadResourceResult:
    """A resource as JSON.

    Raises:
        NotFound: there is none at this address. TickworkError: what its query came to.
    """
    shown, arguments = _resolved(uri)
    answer = await service.call(shown.operation, arguments, caller)
    text = msgspec.json.encode(answer.value).decode()
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=JSON, text=text)])


def _resolved(uri: str) -> tuple[Shown, dict[str, Any]]:
    there = [one for one in SHOWN if one.operation in CATALOGUE]
    for one in there:
        if uri == one.uri and not one.many:
            return one, one.arguments
    for one in there:
        rest = uri.removeprefix(one.stem)
        if one.many and rest != uri and rest:
            return one, {**one.arguments, one.many: unquote(rest)}
    raise NotFound("resource", uri[:200], "one of " + ", ".join(one.uri for one in there))


def _seen(caller: Caller) -> list[Shown]:
    return [one for one in SHOWN if one.operation in CATALOGUE and permitted(CATALOGUE[one.operation], caller)]
