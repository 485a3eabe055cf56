"""``docs/reference.md`` names every verb and every option, and nothing that is not there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from tickwork.faces.cli import app
from tickwork.faces.doors import Defaults

REFERENCE = (Path(__file__).resolve().parent.parent.parent / "docs" / "reference.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def help_of(*verb: str) -> str:
    found = CliRunner().invoke(app, [*verb, "--help"], obj=SimpleNamespace(defaults=Defaults))
    assert found.exit_code == 0
    return found.stdout


def verbs(*group: str) -> list[str]:
    """All verbs, or those of a group such as ``notify``."""
    listed = help_of(*group).partition("Commands:\n")[2]
    return re.findall(r"^  ([\w-]+)", listed, re.MULTILINE)


def options(*verb: str) -> set[str]:
    """Those that the help lists, each at the beginning of its line; of a group, those of its verbs."""
    listed = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_of(*verb), re.MULTILINE))
    return listed.union(*(options(*verb, below) for below in verbs(*verb)))


def section(verb: str) -> str:
    """What the document says under the heading that names a verb."""
    parts = re.split(r"^###? ", REFERENCE, flags=re.MULTILINE)
    return next(part for part in parts if verb in re.findall(r"\w+", part.partition("\n")[0]))


def test_the_verbs() -> None:
    found = verbs()
    assert {"demo", "runs", "cancel"} <= set(found)
    assert re.findall(r"^\| `(\w+)` \|", REFERENCE.partition("### demo")[0], re.MULTILINE) == found
    assert "--version" in options()
    assert "--version" in REFERENCE


@pytest.mark.parametrize("verb", verbs())
def test_its_options_and_an_example(verb: str) -> None:
    told = section(verb)
    assert set(OPTION.findall(told)) >= options(verb) - {"--help"}
    for example in [f"{verb} {below}" for below in verbs(verb)] or [verb]:
        assert f"tickwork {example}" in told


def test_no_option_that_is_not_there() -> None:
    assert set(OPTION.findall(REFERENCE)) <= options()
