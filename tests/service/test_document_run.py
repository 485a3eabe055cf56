"""What a session of documents is made of, and where it is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.app import open_paper
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, TapeError
from tickwork.graph.document import Document
from tickwork.graph.reading import read_document, read_text
from tickwork.service.document_run import Prepared, RunRequest, prepare, session_of
from tickwork.service.document_store import TAPE, Store, Told
from tickwork.service.document_trace import last_session, traced
from tickwork.service.runs import run_lines

DATA = ("bitstamp-btc-usd-1d",)
CHILD = "name: child\nnodes:\n  - {id: told, type: log, params: {message: one}}\n"
GRAND = "name: grand\nnodes:\n  - {id: ask, type: subprocess, params: {workflow_id: parent}}\n"
PARENT = "name: parent\nnodes:\n  - {id: ask, type: subprocess, params: {workflow: child, input: {}}}\n"


def document(text: str) -> Document:
    return read_document(read_text(text))


def put(store: Store, text: str, *, draft: bool = False) -> Told:
    return asyncio.run(store.publish(document(text), draft=draft, note="", format=""))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / TAPE)


def prepared(store: Store, folder: Path, source: str, **more: Any) -> Prepared:
    return prepare(RunRequest(source=source, home=folder / "graph", **{"data": DATA, **more}), store)


def written(folder: Path, text: str, name: str = "doc.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def names(found: Prepared) -> list[str]:
    return [one.name for one in found.documents]


def test_published_documents_that_are_called_come_along_and_theirs_too(tmp_path: Path, store: Store) -> None:
    for text in (
        CHILD,
        PARENT,
        "name: grand\nnodes:\n  - {id: ask, type: subprocess, params: {workflow_id: parent}}\n",
    ):
        put(store, text)
    put(store, "name: other\nnodes:\n  - {id: told, type: log, params: {message: one}}\n")
    assert names(prepared(store, tmp_path, "grand")) == ["grand", "parent", "child"]
    # a file goes before what is published under its name
    given = written(tmp_path, CHILD.replace("one", "two"))
    beside = prepared(store, tmp_path, "parent", beside=(given,))
    assert names(beside) == ["parent", "child"]
    assert beside.documents[1].nodes[0].params == {"message": "two"}


def test_who_calls_nobody_is_told_what_to_do(tmp_path: Path, store: Store) -> None:
    put(store, PARENT)
    put(store, CHILD, draft=True)
    found = prepared(store, tmp_path, "parent")
    with pytest.raises(InvalidInput, match=r"published here, or given .*--with.*found 'child'"):
        open_paper(found.options, found.make, views=found.views)


def test_versions_of_a_document_can_be_run_and_a_draft_be_taken_into_use(tmp_path: Path, store: Store) -> None:
    assert put(store, CHILD).version == 1
    assert put(store, CHILD.replace("one", "two")).version == 2
    for version, word in ((None, "two"), (1, "one"), (2, "two")):
        found = prepared(store, tmp_path, "child", version=version)
        assert found.documents[0].nodes[0].params == {"message": word}
    with pytest.raises(InvalidInput, match="1 to 2"):
        prepared(store, tmp_path, "child", version=3)
    with pytest.raises(InvalidInput, match="--version"):
        prepared(store, tmp_path, written(tmp_path, CHILD), version=1)
    assert put(store, CHILD.replace("one", "three"), draft=True).status == "draft"
    assert store.document("child").nodes[0].params == {"message": "two"}
    taken = asyncio.run(store.publish(store.to_publish("child").document, draft=False, note="", format=""))
    assert (taken.version, taken.status, taken.changed) == (3, "published", True)
    assert store.document("child").nodes[0].params == {"message": "three"}


def test_a_name_of_a_published_document_goes_before_a_template(tmp_path: Path, store: Store) -> None:
    put(store, CHILD.replace("child", "momentum_trading"))
    assert store.load("momentum_trading").document.nodes[0].params == {"message": "one"}


def test_documents_that_cannot_be_kept() -> None:
    with pytest.raises(TapeError, match=r"cannot be kept in /dev/null/x/documents\.db: Not a directory"):
        put(Store(Path("/dev/null/x/documents.db")), CHILD)


@pytest.mark.parametrize("input", [[], "BTC/USD", 3])
def test_what_starts_a_run_by_hand_is_an_object(tmp_path: Path, store: Store, input: Any) -> None:
    with pytest.raises(InvalidInput, match="--input: expected a JSON object"):
        prepared(store, tmp_path, written(tmp_path, CHILD), input=input, by_hand=True)


TRIGGERED = CHILD + "triggers: [{type: price_change, symbol: BTC/USD, threshold: 0.1}]\n"


def test_it_is_said_that_triggers_go_on_beside_the_run_by_hand(tmp_path: Path, store: Store) -> None:
    source = written(tmp_path, TRIGGERED)
    assert "beside what its triggers start" in "".join(prepared(store, tmp_path, source, input={}).notes)
    assert not prepared(store, tmp_path, source).notes


@pytest.mark.parametrize(
    "text",
    [CHILD + "triggers: [{type: breaking_news}]\n", "name: reader\nnodes:\n  - {id: news, type: news_analysis}\n"],
)
def test_a_document_that_works_on_news_says_so_where_there_are_none(tmp_path: Path, store: Store, text: str) -> None:
    source, news = written(tmp_path, text), tmp_path / "news.jsonl"
    news.write_text("")
    assert "give recorded ones with --news" in "".join(prepared(store, tmp_path, source).notes)
    assert "--news" not in "".join(prepared(store, tmp_path, source, news=news).notes)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{venues: [x], symbols: [BTC/USD], bars: many}", r"metadata\.simulated\.bars: expected int; found 'many'"),
        ("{venues: [x], symbols: [BTC/USD], barz: 3}", r"metadata\.simulated\.barz: .*'bars'"),
        ("{venues: [x]}", r"metadata\.simulated\.symbols: expected a list of symbols; found 'nothing'"),
        ("[x]", r"metadata\.simulated: expected an object"),
    ],
)
def test_a_wrong_description_of_a_market_names_its_field(tmp_path: Path, store: Store, wrong: str, told: str) -> None:
    source = written(tmp_path, f"{CHILD}metadata: {{simulated: {wrong}}}\n")
    with pytest.raises(InvalidInput, match=told):
        prepared(store, tmp_path, source, data=(), simulated=1)


# --------------------------------------------------------------------------------------------------------- where it is


@given(st.lists(st.text(min_size=1, max_size=150), min_size=2, max_size=20, unique=True))
def test_each_document_has_a_folder_of_its_own_in_the_home_folder(known: list[str]) -> None:
    home = Path("home")
    folders = [session_of(home, name) for name in known]
    assert len(set(folders)) == len(known)
    for folder in folders:
        assert folder.parent == home
        assert folder.name not in ("", ".", "..")
        assert len(folder.name.encode()) < 100
        assert folder.name.isprintable()


def test_names_for_people_stay_as_they_are() -> None:
    assert session_of(Path("home"), "calm-dip_2") == Path("home/calm-dip_2")


def played(store: Store, folder: Path, source: str, **more: Any) -> Path:
    async def play() -> Path:
        found = prepared(store, folder, source, **more)
        session = open_paper(found.options, found.make, views=found.views)
        try:
            await session.run()
            return found.options.home / "paper.db"
        finally:
            await session.close()

    return asyncio.run(play())


SENDER = """
name: sender
triggers: [{type: price_change, symbol: BTC/USD, threshold: "0.2", direction: down}]
nodes:
  - {id: send, type: queue_for_execution, inputs: {signal: BUY, symbol: BTC/USD}}
"""
WORKER = """
name: worker
triggers: [{type: queue, name: execution}]
nodes:
  - {id: told, type: log, params: {message: "got {{event.symbol}}"}}
"""


def test_a_run_that_a_message_started_says_so_and_sessions_of_others_stay(tmp_path: Path, store: Store) -> None:
    source, worker = written(tmp_path, SENDER), written(tmp_path, WORKER, "worker.yaml")
    tape = played(store, tmp_path, source, beside=(worker,))
    assert last_session(tmp_path / "graph") == tape
    queries = Queries.open(str(tape))
    lines = run_lines(queries, limit=100)
    by = {line.workflow: traced(queries, line.id).trigger for line in lines}
    assert by == {"doc/sender": "price_change", "doc/worker": "queue"}
    other = played(store, tmp_path, written(tmp_path, CHILD, "child.yaml"))
    assert tape.is_file()
    assert last_session(tmp_path / "graph") == other != tape
    assert last_session(tmp_path / "graph", "sender") == tape
    with pytest.raises(TapeError, match="of nobody"):
        last_session(tmp_path / "graph", "nobody")
