"""Documents in files: what is wrong with the file is said of the file, in one unit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.service.document_files import load


@pytest.mark.parametrize(
    ("text", "found", "words"),
    [
        ("", "nothing", "an object with a name and nodes"),
        ("# nothing yet\n", "nothing", "an object with a name and nodes"),
        ("[1, 2]", "a list", "an object with a name and nodes"),
        ("x" * 4_000_001, "more than 1,000,000 characters", "at most 1,000,000"),
        ("x" * 1_000_001, "1,000,001 characters", "at most 1,000,000"),
    ],
    ids=["empty", "comment", "list", "huge", "large"],
)
def test_a_file_that_is_no_document_is_named(tmp_path: Path, text: str, found: str, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load(str(file))
    assert (caught.value.path, caught.value.found) == (str(file), found)
    assert words in caught.value.expected


def test_everything_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "nodes:\n  - {id: a, type: wiat, onEror: stop}\n  - {id: b, type: wait, params: {duration: forever}}\n"
        "edges: [{from: a, to: c}]\n"
    )
    with pytest.raises(InvalidDocument) as caught:
        load(str(file))
    told = [path for path, *_ in caught.value.problems]
    assert told == ["nodes.a.onEror", "nodes.a.type", "edges[0].to", "nodes.b.params.duration"]
