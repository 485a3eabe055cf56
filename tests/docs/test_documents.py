"""The documents are true: their links lead somewhere, their verbs exist, their Python runs.

A block marked ```` ```python ```` is executed as a program of its own in an empty folder and must end well. One
marked ```` ```python no-run ```` (it needs a network or an account, or is a fragment) must still be Python, and what it
imports from tickwork must exist.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted({ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")})
BLOCK = re.compile(r"^```python( no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
MAKE = re.compile(r"`(?:\$ )?make (?:-\w+ )*([a-z]+)")
ALLOWED = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

Block = tuple[Path, int, bool, str]
"""Document, line of the block's first statement, whether it runs, its source."""


def blocks() -> list[Block]:
    found: list[Block] = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            found.append((document, line, match.group(1) is None, match.group(2)))
    return found


def where(document: Path, line: int) -> str:
    return f"{document.relative_to(ROOT)}:{line}"


def named(block: Block) -> str:
    return where(block[0], block[1])


def names_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=names_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        target = link.partition("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            assert (document.parent / target).exists(), f"{names_of(document)}: {link}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=names_of)
def test_every_make_verb_exists(document: Path) -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    unknown = set(MAKE.findall(document.read_text())) - verbs
    assert not unknown, f"{names_of(document)}: make has no {sorted(unknown)}"


def test_every_python_block_is_python_and_imports_what_exists() -> None:
    for document, line, _, source in blocks():
        tree = compile(source, where(document, line), "exec", ast.PyCF_ONLY_AST | ALLOWED)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tickwork":
                module = importlib.import_module(node.module or "")
                missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not missing, f"{where(document, line)}: {node.module} has no {missing}"


RUNNABLE = [block for block in blocks() if block[2]]


@pytest.mark.skipif(not RUNNABLE, reason="no document holds a runnable block")
@pytest.mark.parametrize("block", RUNNABLE, ids=named)
def test_every_python_block_runs(block: Block, tmp_path: Path) -> None:
    document, line, _, source = block
    # blank lines put the block at its place, so that a traceback names the document's line
    program = tmp_path / document.name.replace(".md", ".py")
    program.write_text("\n" * (line - 1) + source)
    result = subprocess.run(
        [sys.executable, program.name], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, f"{where(document, line)}:\n{result.stderr}"


YAML = re.compile(r"^```yaml\n(name:.*?)^```$", re.MULTILINE | re.DOTALL)
WORKFLOWS = [(document, match[1]) for document in DOCUMENTS for match in YAML.finditer(document.read_text())]


@pytest.mark.parametrize(("document", "text"), WORKFLOWS, ids=lambda value: getattr(value, "name", "workflow"))
def test_every_workflow_document_is_valid(document: Path, text: str) -> None:
    from tickwork.graph.library import library
    from tickwork.graph.reading import read_document, read_text
    from tickwork.graph.wiring import check

    assert not check(read_document(read_text(text)), library(), None), names_of(document)


def test_a_block_that_is_wrong_would_be_seen() -> None:
    text = "```python\nfirst = 1\n```\n\n```python no-run\nawait second\n```\n"
    assert [(match.group(1), match.group(2)) for match in BLOCK.finditer(text)] == [
        (None, "first = 1\n"),
        (" no-run", "await second\n"),
    ]
