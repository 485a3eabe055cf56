"""Every example in ``docs/formats.md`` is read as the format of its section, and can run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tickwork.graph.importers import FORMATS, import_document
from tickwork.graph.library import library
from tickwork.graph.reading import read_text
from tickwork.graph.wiring import check

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "formats.md").read_text()
SECTION = re.compile(r"^## [^\n]*\(`(\w+)`\)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (format_, kind, text) for format_, section in SECTION.findall(TEXT) for kind, text in BLOCK.findall(section)
]


def test_every_foreign_format_has_an_example_and_no_block_is_left_out() -> None:
    assert {format_ for format_, _, _ in EXAMPLES} == FORMATS.keys() - {"canonical"}
    assert len(EXAMPLES) == len(BLOCK.findall(TEXT)) == TEXT.count("```") / 2


@pytest.mark.parametrize(("format_", "kind", "text"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_an_example_is_read_and_checked(format_: str, kind: str, text: str) -> None:
    value = json.loads(text) if kind == "json" else read_text(text)
    found = import_document(value, library=library())
    assert found.format == format_
    assert not [str(one) for one in check(found.document, library(), None)]
