"""What every node type of the library must have: words for people, schemas for editors, a test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import TypeAdapter

from tests.graph.nodes.tested import CATEGORIES, FILES, TESTED
from tickwork.graph.declare import BRANCH, DECLARED, NodeType
from tickwork.graph.library import GROUP, Library, library

HERE: Final = Path(__file__).parent


def declared_in(file: str) -> dict[str, NodeType]:
    return {name: one for name, one in DECLARED.items() if one.fn.__module__ == FILES[file].__name__}


def test_the_table_names_every_type_of_its_files() -> None:
    assert {name: file for file in CATEGORIES for name in declared_in(file)} == TESTED


@pytest.mark.parametrize("name", TESTED)
def test_every_type_is_called_by_a_test_of_its_file(name: str) -> None:
    text = (HERE / f"test_{TESTED[name]}.py").read_text()
    assert f"{DECLARED[name].fn.__name__}(" in text, f"test_{TESTED[name]}.py calls no {name}"


@pytest.mark.parametrize("name", TESTED)
def test_every_type_explains_itself(name: str) -> None:
    type_ = DECLARED[name]
    assert type_.category == CATEGORIES[TESTED[name]]
    assert type_.help.endswith((".", ":")) or len(type_.help) > 20
    for kind, ports in (("input", type_.inputs), ("output", type_.outputs), ("param", type_.params)):
        for port, one in ports.items():
            assert one.help, f"{name} has no help for the {kind} {port}"
    assert type_.outputs, f"{name} gives nothing"
    assert bool(type_.branches) == (BRANCH in type_.outputs)


@pytest.mark.parametrize("name", TESTED)
def test_every_type_has_a_json_schema(name: str) -> None:
    schema = DECLARED[name].schema()
    assert schema["help"]
    assert set(schema["params"]["properties"]) >= set(DECLARED[name].params)
    for port in (*schema["inputs"].values(), *schema["outputs"].values(), *schema["params"]["properties"].values()):
        assert port["description"]
    for one in DECLARED[name].params.values():
        wanted = one.schema()
        if not one.expression and not one.required:
            assert "default" in wanted
    TypeAdapter(dict[str, Any]).dump_json(schema)


@pytest.mark.parametrize("name", TESTED)
def test_every_default_is_one_that_a_document_could_say(name: str) -> None:
    for param in DECLARED[name].params.values():
        if not param.required and param.default is not None:
            assert param.read(param.default, param.name) == param.default


def test_what_may_be_said_by_another_name_is_not_required_by_the_first() -> None:
    params = DECLARED["create_opportunity"].schema()["params"]
    assert "symbol" not in params["required"]
    assert set(params["properties"]) >= {"symbol", "pair"}
    assert DECLARED["price_cross"].schema()["params"]["required"] == ["threshold"]


def test_words_that_documents_may_say_are_taken_once() -> None:
    words = [word for name in TESTED for word in (name, *DECLARED[name].aliases)]
    assert len(words) == len(set(words))
    assert DECLARED["check_threshold"].aliases == ("threshold_check",)
    for name in TESTED:
        params = DECLARED[name].params
        said = [word for one in params.values() for word in (one.name, *one.aliases)]
        assert len(said) == len(set(said))
        assert not set(params) & set(DECLARED[name].inputs)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("provider", ["price_feed", "balance", "positions", "orderbook"]),
        ("price_cross", ["signal"]), ("volume_spike", ["signal"]), ("time_trigger", ["signal"]),
        ("rsi_signal", ["signal"]), ("webhook", ["data"]), ("event_listener", ["event"]),
        ("manual_trigger", ["trigger"]), ("and", ["output"]), ("or", ["output"]), ("compare", ["result"]),
        ("threshold", ["pass"]), ("math", ["result"]), ("check_threshold", ["pass"]),
        ("calculate_spread", ["spread", "spread_pct"]), ("calculate_profit", ["profit", "profit_pct", "roi"]),
        ("detect_arbitrage", ["opportunity", "profit", "spread"]), ("technical_analysis", ["rsi", "macd"]),
    ],
)  # fmt: skip
def test_the_outputs_come_in_the_order_that_block_documents_count_them(name: str, outputs: list[str]) -> None:
    assert list(DECLARED[name].outputs)[: len(outputs)] == outputs


# ------------------------------------------------------------------------------------------------ packages of others

DECLARING: Final = """
from typing import Any
from tickwork.graph.declare import node

@node("{name}", category="others"{more})
def it() -> dict[str, Any]:
    \"\"\"Gives nothing.\"\"\"
    return {{}}
"""

Installed = Callable[..., Library]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """The library beside modules of these texts; ``a__it`` is an entry point ``a:it``."""
    library()  # ours, declared for good: their modules are imported once
    before, modules = dict(DECLARED), set(sys.modules)

    def install(**texts: str) -> Library:
        points = []
        for name, text in texts.items():
            module, _, attribute = name.partition("__")
            (tmp_path / f"{module}.py").write_text(text)
            value = f"{module}:{attribute}" if attribute else module
            points.append(metadata.EntryPoint(module, value, GROUP))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])
        return library.__wrapped__()  # the one that is kept is everybody's

    yield install
    DECLARED.clear()
    DECLARED.update(before)
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def declaring(name: str, more: str = "") -> str:
    return DECLARING.format(name=name, more=more)


@pytest.mark.parametrize(
    "wrong",
    [
        declaring("bad_type", ', aliases=("buy",)'),
        declaring("buy"),
        declaring("bad_type") + "\nraise SystemExit(3)",
        declaring("bad_type") + "\nimport nothing_of_the_kind",
        declaring("bad_type", ', undo="nobody"'),
        declaring("bad_type") + declaring("Bad Name"),
    ],
)
def test_a_package_that_fails_or_clashes_is_left_out_as_a_whole(
    installed: Installed, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    with caplog.at_level(logging.ERROR):
        found = installed(tw_aaa_bad=wrong, tw_bbb_good=declaring("good_type", ', aliases=("good",)'))
    assert "bad_type" not in found
    assert "bad_type" not in DECLARED
    assert {"good_type", "good"} <= set(found.names)
    assert found.get("buy").fn.__module__ == "tickwork.graph.nodes.orders"
    (record,) = caplog.records
    assert "tw_aaa_bad" in record.getMessage()


def test_of_two_packages_that_clash_the_first_stays(installed: Installed) -> None:
    found = installed(
        tw_aaa=declaring("first_type", ', aliases=("word",)'), tw_bbb=declaring("second_type", ', aliases=("word",)')
    )
    assert found.get("word").name == "first_type"
    assert "second_type" not in found


def test_what_a_failing_package_imports_of_another_is_the_others(installed: Installed) -> None:
    found = installed(tw_aaa="import tw_bbb\nraise ValueError", tw_bbb=declaring("good_type"))
    assert "good_type" in found


def test_an_entry_point_may_name_an_attribute(installed: Installed, caplog: pytest.LogCaptureFixture) -> None:
    found = installed(tw_aaa__it=declaring("good_type"), tw_bbb__lacks=declaring("bad_type"))
    assert "good_type" in found
    assert "bad_type" not in found
    assert "tw_bbb:lacks" in caplog.text
