"""Dead letters: what gave up, and what becomes of it."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import Field

from tickwork.engines.embedded.letters import spacing
from tickwork.engines.embedded.queries import DeadLetter, Queries
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.service.api.operation import Args, Call, Limit, Page, command, query
from tickwork.service.letters import Chosen, chosen, letter_count, letter_page
from tickwork.service.operations import events, runs
from tickwork.service.operations.asking import by
from tickwork.service.operations.paging import LongCursor, Place, cursor_of, place_of
from tickwork.service.previews import bounded


class LettersList(Args):
    """Which letters."""

    source: str | None = Field(None, max_length=500, description="Those of this workflow, queue or event.")
    code: str | None = Field(None, max_length=200, description="Those with this error, such as rate_limit.")
    every: bool = Field(False, description="Also those that were redriven or discarded.")
    limit: Limit = 20
    cursor: LongCursor = None


class OneLetter(Args):
    """Which letter."""

    letter: str = Field(min_length=1, max_length=200, description="The id of a letter.")


class LettersChosen(Args):
    """Which letters: these, or all open ones of a source or with a code, or every open one."""

    ids: list[str] = Field(default_factory=list, max_length=1_000, description="Ids of letters.")
    source: str | None = Field(None, max_length=500, description="Those of this workflow, queue or event.")
    code: str | None = Field(None, max_length=200, description="Those with this error, such as rate_limit.")
    every: bool = Field(False, description="Every open letter.")


class LettersRedrive(LettersChosen):
    """Which letters, how fast, with what."""

    payload: Any = Field(None, description="Instead of what it was given; for one letter.")
    rate: str | None = Field(None, min_length=1, max_length=40, description="Not all at once, such as '10/s'.")
    preview: bool = Field(False, description="Only say which letters it would be.")


class LettersRedriven(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was redriven; or, of a preview, would be."""

    redriven: list[str]
    """Ids of the runs, events and messages that go on; of a preview, of the first letters."""
    left: dict[str, str]
    """Letters that stay open, and why."""
    preview: bool
    total: int


class LettersDiscarded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many were put away."""

    discarded: int


@query("letters.list", "GET /letters", verb="letters", owned=True, examples=({"code": "rate_limit", "limit": 5},))
def letters_list(call: Call, args: LettersList) -> Page[DeadLetter]:
    """Dead letters, newest first: runs, messages, undos and events that gave up, with the error and the run to open."""
    before = place_of(args.cursor, tuple[Place, Place])
    which = Chosen(source=args.source, code=args.code, owner=call.caller.owner, open_only=not args.every)
    found, following = letter_page(call.queries, which, before, args.limit)
    return Page(items=[_bounded(one) for one in found], next=None if following is None else cursor_of(following))


def _bounded(letter: DeadLetter) -> DeadLetter:
    return msgspec.structs.replace(letter, body=bounded(letter.body, f"/api/v1/letters/{letter.id}"))


@query("letters.show", "GET /letters/{letter}", verb="letters", owned=True, examples=({"letter": "r12"},))
def letters_show(call: Call, args: OneLetter) -> DeadLetter:
    """One letter, whole."""
    return _owned(call.queries, args.letter, call.caller.owner)


@command(
    "letters.redrive", "POST /letters/redrive", verb="redrive", owned=True, again="look",
    examples=({"source": "listing-sniper", "rate": "10/s", "preview": True}, {"ids": ["r12"]}),
)  # fmt: skip
async def letters_redrive(call: Call, args: LettersRedrive) -> LettersRedriven:
    """Give letters another chance: some, or all of a source or an error, at a pace, or one with another payload.

    With `preview` nothing is done: it says how many letters these are, and names the first of them.
    """
    await _check(call, args)
    if args.rate is not None and spacing(args.rate) == 0:
        raise InvalidInput("rate", args.rate, "a number by a time above zero, such as '10/s' or '5/minute'")
    if args.preview:
        return await _preview(call, args)
    if args.payload is not None:
        await _check_payload(call, args)
    found = await call.ask("letters.redrive", **_given(args), payload=args.payload, rate=args.rate, by=by(call))
    done = found["redriven"]
    return LettersRedriven(redriven=done, left=found["left"], preview=False, total=len(done))


@command(
    "letters.discard", "POST /letters/discard", verb="discard", owned=True, again="look", examples=({"ids": ["r12"]},)
)
async def letters_discard(call: Call, args: LettersChosen) -> LettersDiscarded:
    """Put letters away, with a record of it."""
    await _check(call, args)
    return LettersDiscarded(discarded=await call.ask("letters.discard", **_given(args), by=by(call)))


async def _preview(call: Call, args: LettersRedrive) -> LettersRedriven:
    if args.ids:
        letters: list[DeadLetter] = await call.read(lambda queries: [queries.letter(id) for id in args.ids])
        names, total = [one.id for one in letters if one.status == "open"], len(letters)
        left = {one.id: f"it is {one.status}" for one in letters if one.status != "open"}
        return LettersRedriven(redriven=names, left=left, preview=True, total=total - len(left))
    which = Chosen(source=args.source, code=args.code, owner=None, open_only=True)
    found, _ = await call.read(lambda queries: letter_page(queries, which, None, 100))
    total = await call.read(lambda queries: letter_count(queries, which))
    return LettersRedriven(redriven=[one.id for one in found], left={}, preview=True, total=total)


async def _check_payload(call: Call, args: LettersRedrive) -> None:
    """
    Raises:
        Forbidden: the letter is of a run or an event of ours: with another payload it would be, say, another order.
    """

    def meant(queries: Queries) -> list[DeadLetter]:
        if args.ids:
            return [queries.letter(id) for id in args.ids]
        which = Chosen(source=args.source, code=args.code, owner=None, open_only=True)
        return letter_page(queries, which, None, 2)[0]  # of several none is redriven

    for letter in await call.read(meant):
        of_event = letter.kind == "event" and events.is_ours(letter.source)
        if of_event or (letter.kind == "run" and runs.is_ours(letter.source)):
            needs = (
                f"no other payload for a letter of {letter.source!r}: ask for it anew by the operation that is for it"
            )
            raise Forbidden("letters.redrive", call.caller.name, needs)


def _given(args: LettersChosen) -> dict[str, Any]:
    return {"ids": args.ids, "source": args.source, "code": args.code, "every": args.every}


async def _check(call: Call, args: LettersChosen) -> None:
    """
    Raises:
        InvalidInput: no letters are meant, or some of them and all. NotFound: they are somebody else's.
    """
    chosen(args.ids, args.source, args.code, args.every)
    owner = call.caller.owner
    if owner is None:
        return
    if not args.ids:
        raise InvalidInput("ids", args.ids, "the ids of letters of yours")
    await call.read(lambda queries: [_owned(queries, id, owner) for id in args.ids])


def _owned(queries: Queries, id: str, owner: str | None) -> DeadLetter:
    """A letter, if it is of a run of the owner's; ``None``: everybody's are.

    Raises:
        NotFound: there is none for that owner.
    """
    if owner is None:
        return queries.letter(id)
    run = queries.reader.run_named(id)
    found = queries.letter(id) if run is None or run.owner == owner else None
    whose = queries.reader.run_named(found.run) if found is not None and found.kind in ("run", "undo") else None
    if found is None or whose is None or whose.owner != owner:
        raise NotFound("letter", id, "the id of a dead letter of a run of yours")
    return found
