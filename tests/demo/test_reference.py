"""``docs/reference.md`` names every verb and every option, and nothing that is not there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.demo.support import COMMAND

REFERENCE = (Path(__file__).resolve().parent.parent.parent / "docs" / "reference.md").read_text()
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def help_of(*verb: str) -> str:
    return subprocess.run([*COMMAND, *verb, "--help"], capture_output=True, text=True, check=True).stdout


def verbs() -> list[str]:
    listed = help_of().partition("Commands:\n")[2]
    return re.findall(r"^  (\w+)", listed, re.MULTILINE)


def options(*verb: str) -> set[str]:
    """Those that the help lists, each at the beginning of its line."""
    return set(re.findall(r"^  (--[a-z-]+)", help_of(*verb), re.MULTILINE))


def section(verb: str) -> str:
    """What the document says under the heading that names a verb."""
    return next(part for part in re.split(r"^###? ", REFERENCE, flags=re.MULTILINE) if verb in part.partition("\n")[0])


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
    assert f"tickwork {verb}" in told


def test_no_option_that_is_not_there() -> None:
    everywhere = set().union(options(), *(options(verb) for verb in verbs()))
    assert set(OPTION.findall(REFERENCE)) <= everywhere
