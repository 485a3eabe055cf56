"""Tokens: who may call from elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from pydantic import AwareDatetime, Field

from tickwork.errors import Forbidden
from tickwork.service.api.operation import Args, Call, Done, Nothing, Page, command, query
from tickwork.service.api.tokens import TokenLine, TokenMade
from tickwork.values import from_ns

DAYS_MAX = 3_660


class TokenCreate(Args):
    """What the token may."""

    name: str = Field(min_length=1, max_length=64, description="What to call it: letters, digits, `.`, `-` and `_`.")
    scopes: list[str] = Field(
        min_length=1, max_length=4, description="Its rights: read, operate, trade, admin; admin has every one."
    )
    accounts: list[str] = Field(
        [], max_length=100, description="The accounts it may trade, `*` for all; needed with trade and admin."
    )
    owner: str = Field("", max_length=200, description="Whose runs, documents and alerts it sees; by default all.")
    expires: AwareDatetime | None = Field(None, description="When it ends, e.g. 2027-01-31T00:00:00Z.")
    days: int | None = Field(None, ge=1, le=DAYS_MAX, description="Instead of `expires`: after how many days it ends.")

    def until(self, now: int) -> datetime | None:
        """When it ends; ``now`` in ns since 1970 UTC."""
        return self.expires if self.days is None else from_ns(now) + timedelta(days=self.days)


class TokenNamed(Args):
    """Which token."""

    name: str = Field(min_length=1, max_length=64, description="Its name.")


_EXAMPLE = {"name": "grafana", "scopes": ["read"], "days": 90}


@command(
    "tokens.create", "POST /tokens", scope="admin", status=201, again="look", secret=True, verb="tokens",
    examples=(_EXAMPLE,),
)  # fmt: skip
async def tokens_create(call: Call, args: TokenCreate) -> TokenMade:
    """Make a token. Its secret is in the answer, this once."""
    allowed, until = call.caller.accounts, args.until(call.now)
    if allowed is not None and not allowed.issuperset(args.accounts):
        needs = f"an accounts list of those that it may trade itself ({', '.join(sorted(allowed)) or 'none'})"
        raise Forbidden("tokens.create", call.caller.name, needs)
    made = await call.ask(
        "tokens.create",
        name=args.name,
        scopes=args.scopes,
        accounts=args.accounts,
        owner=args.owner,
        expires=None if until is None else until.isoformat(),
    )
    return msgspec.convert(made, TokenMade)


@query("tokens.list", "GET /tokens", scope="admin", verb="tokens")
async def tokens_list(call: Call, args: Nothing) -> Page[TokenLine]:
    """The tokens there are, by name, without their secrets."""
    return Page(items=msgspec.convert(await call.ask("tokens.list"), list[TokenLine]))


@command("tokens.revoke", "DELETE /tokens/{name}", scope="admin", verb="tokens", examples=({"name": "grafana"},))
async def tokens_revoke(call: Call, args: TokenNamed) -> Done:
    """Make a token void, at once."""
    await call.ask("tokens.revoke", name=args.name)
    return Done(id=args.name, done="revoked")
