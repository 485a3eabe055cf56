"""``tickwork exits``: which positions are protected and where their stops stand; one closed or resized by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tickwork.faces.options import HOME, Home, Json, Tape, ask, queries_of

exits = typer.Typer(
    help="Exit plans: stops, ladders and trailing stops of positions. Without a verb, the list of them.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Plan = Annotated[str, typer.Argument(help="A plan's id, as `tickwork exits list` shows it.", metavar="PLAN")]
Account = Annotated[str, typer.Option(help="Only this account; by default all.")]


@exits.callback()
def listed(
    context: typer.Context, account: Account = "", json: Json = False, tape: Tape = None, home: Home = HOME
) -> int:
    """Exit plans: stops, ladders and trailing stops of positions. Without a verb, the list of them."""
    return _list(account, tape, home, as_json=json) if context.invoked_subcommand is None else 0


@exits.command("list")
def show(account: Account = "", json: Json = False, tape: Tape = None, home: Home = HOME) -> int:
    """All open plans, the oldest first: of the process that has the tape open, else as the tape has them."""
    return _list(account, tape, home, as_json=json)


@exits.command()
def close(
    plan: Plan,
    reason: Annotated[str, typer.Option(help="Why; needed, and recorded.")] = "",
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """End a plan: exits on their way are cancelled, and nothing sells the position any more."""
    from tickwork.faces import tables

    found = ask(tape, home, "exits.close", plan=plan, reason=reason)
    return tables.say(found, f"{plan} is closed; its position is not protected any more", as_json=json)


@exits.command()
def resize(
    plan: Plan,
    quantity: Annotated[str, typer.Argument(help="What is held now, base units.", metavar="QUANTITY")],
    json: Json = False,
    tape: Tape = None,
    home: Home = HOME,
) -> int:
    """Say that a plan's position is of another size now; what is on its way for more than that is cancelled."""
    from tickwork.faces import tables

    found = ask(tape, home, "exits.resize", plan=plan, quantity=quantity)
    left = "0" if found is None else found["left"]
    words = f"{plan} is for {left} now" if found is not None else f"{plan} is closed: nothing is left of it"
    return tables.say({"plan": plan, "left": left}, words, as_json=json)


def _list(account: str, tape: Path | None, home: Path, *, as_json: bool) -> int:
    from tickwork.faces import tables
    from tickwork.faces.grid import Grid

    found = _lines(account, tape, home)
    if as_json:
        tables.dump(found)
        return 0
    if not found:
        tables.console().print("no position is protected by an exit plan")
        return 0
    headings = ("plan", "account", "workflow", "symbol", "side", "left", "of", "stop", "why", "target", "trailing")
    made = Grid(
        *headings,
        "state",
        "opened",
        right=("left", "of", "stop", "target"),
        give=("opened", "why", "account", "trailing", "of"),
    )
    for line in found:
        made.add(
            line["plan"],
            line["account"],
            line["workflow"],
            line["symbol"],
            line["side"],
            line["left"],
            line["original"],
            line["stop"] or "",
            line["stopReason"],
            line["target"] or "",
            line["trailing"],
            line["state"],
            line["openedAt"][:16].replace("T", " "),
        )
    tables.show(made)
    return 0


def _lines(account: str, tape: Path | None, home: Path) -> Any:
    """As the owner of the tape has them; where there is none, or it does not tell, as the tape has them."""
    import msgspec

    from tickwork.errors import InvalidInput, TapeError
    from tickwork.service.exits_lines import exit_lines

    try:
        return ask(tape, home, "exits", account=account)
    except TapeError:  # nobody has it open
        pass
    except InvalidInput as error:
        if error.path not in {"verb", "answer"}:  # a process without exits, or with more than one answer holds
            raise
    return msgspec.to_builtins(exit_lines(queries_of(tape, home), account))
