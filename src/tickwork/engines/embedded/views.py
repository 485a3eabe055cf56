"""Views: folded as events are published, kept in memory, written with the records that changed them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Claim, Read
from tickwork.core.clock import Clock
from tickwork.core.codec import encode_error
from tickwork.core.drive import Waiting
from tickwork.core.event import Event
from tickwork.core.tape import NOTHING, Entry, Record, Tape
from tickwork.core.view import View
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import InvalidInput, StepFailed

_log = logging.getLogger("tickwork.engine")


STALE = -1
"""The version of a view whose kept state is not to be trusted."""


def _reader(view: View, name: str, version: int) -> type[Event] | None:
    """The class of those a view folds that reads this version: its own before one that can upcast it."""
    readers = [event for event in view.on if event.event_name == name and event.reads(version)]
    return min(readers, key=lambda event: event.event_version, default=None)


def _listening(view: View) -> str:
    return ",".join(sorted(f"{event.event_name} {event.event_version}" for event in view.on))


class _States(Mapping[str, Any]):
    """A view's states at one moment: bytes, until somebody looks. A view may hold a million."""

    def __init__(self, view: View, states: dict[str, bytes]) -> None:
        self._view = view
        self._states = states

    def __getitem__(self, key: str) -> Any:
        return self._view.codec.decode(self._states[key], f"state of view {self._view.name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __eq__(self, other: object) -> bool:
        return dict(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} states of {self._view!r}>"


class Views:
    """The state of every view."""

    def __init__(self, log: Log, clock: Clock, reader: Reader, views: Sequence[View]) -> None:
        self._log = log
        self._now = clock.now
        self._views = {view.name: view for view in views}
        if len(self._views) != len(views):
            names = [view.name for view in views]
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidInput("Engine(views=)", twice, "a name that no other view has")
        self._states: dict[str, dict[str, bytes]] = {view.name: {} for view in views}
        self._broken: dict[str, BaseException] = {}
        self._folds: dict[str, list[View]] = {}
        for view in views:
            for event in view.on:
                self._folds.setdefault(event.event_name, []).append(view)
        self._load(reader)

    def _load(self, reader: Reader) -> None:
        """Read what is kept; fold anew what was folded by another version."""
        kept = {name: (version, on) for name, version, on in reader.rows("SELECT * FROM view_versions")}
        for name in kept.keys() - self._views.keys():
            # nobody folds it from here on: when it comes back it is folded anew
            self._log.batch.view_versions[name] = (STALE, "")
        for view in self._views.values():
            if kept.get(view.name) == (view.version, _listening(view)):
                rows = reader.rows("SELECT key, state FROM views WHERE view=?", (view.name,))
                self._states[view.name] = dict(rows)
            else:
                self._rebuild(view, reader)

    def _rebuild(self, view: View, tape: Tape) -> None:
        self._log.batch.view_versions[view.name] = (view.version, _listening(view))
        for _, entry in tape.tape():
            record = entry.record
            if record.kind == "claim" and record.name == view.name:
                value = bytes(record.value)
                if value.startswith(b"[true,"):
                    self._set(view, record.key, None if value == b"[true,null]" else value[6:-1])
            elif record.kind in ("event", "emit") and not record.due and bytes(record.value):
                event = _reader(view, record.name, record.version)
                if event is not None:
                    self._fold(view, event, bytes(record.value), record.version)

    def fold(self, event: Event, seq: int) -> None:
        """Fold a published event into the views that listen to it."""
        for view in self._folds.get(event.event_name, ()):
            if type(event) in view.on:
                self._fold(view, event)

    def _fold(self, view: View, event: Event | type[Event], wire: bytes = b"", version: int = 1) -> None:
        if view.name in self._broken:
            return
        try:
            if isinstance(event, type):
                event = event.read(version, wire)
            key = view.key(event)
            if not isinstance(key, str):
                raise InvalidInput(f"key of view {view.name!r}", key, "a text")
            state = view.fold(self.get(view, key), event)
            data = None if state is None else bytes(view.codec.round_trip(state, f"state of view {view.name!r}")[0])
        except Exception as error:  # noqa: BLE001 - a fold is the user's code; the event has happened all the same
            self._broken[view.name] = encode_error(error)[1]
            self._log.batch.view_versions[view.name] = (STALE, "")  # folded anew when it is opened again
            _log.error(
                "view %r cannot fold %s and is closed until it is mended: %r", view.name, event.event_name, error
            )
        else:
            self._set(view, key, data)

    def _set(self, view: View, key: str, data: bytes | None) -> None:
        states = self._states[view.name]
        if data is None:
            states.pop(key, None)
        else:
            states[key] = data
        self._log.batch.put("views", (view.name, key), None if data is None else (data,))

    def _check(self, view: View) -> None:
        if view.name not in self._views or self._views[view.name] is not view:
            raise InvalidInput("view", view.name, "a view that the engine was given (Engine(views=[...]))")
        broken = self._broken.get(view.name)
        if broken is not None:
            raise StepFailed("view", f"view {view.name!r} could not fold an event and is closed: {broken}")

    def get(self, view: View, key: str) -> Any:
        """The state under a key, or ``None``; a fresh object each time.

        Raises:
            InvalidInput: the engine does not know the view. StepFailed: its fold failed; nothing of it can be trusted.
        """
        self._check(view)
        data = self._states[view.name].get(key)
        return None if data is None else view.codec.decode(data, f"state of view {view.name!r}")

    def items(self, view: View) -> Mapping[str, Any]:
        """All keys with their states, as they are now; each is decoded when it is asked for."""
        self._check(view)
        return _States(view, dict(self._states[view.name]))

    def claim(self, view: View, key: str, expected: Any, new: Any) -> tuple[bool, Raw]:
        """Compare and set. Returns whether it was set, and the record's value."""
        self._check(view)
        if not isinstance(key, str):
            raise InvalidInput(f"key of view {view.name!r}", key, "a text")
        what = f"state of view {view.name!r}"
        data = None if new is None else bytes(view.codec.round_trip(new, what)[0])
        wanted = None if expected is None else view.codec.round_trip(expected, what)[1]
        if self.get(view, key) != wanted:
            return False, Raw(b"[false]")
        self._set(view, key, data)
        return True, Raw(b"[true," + (b"null" if data is None else data) + b"]")

    # -- asks of runs ---------------------------------------------------------------------------------------------

    def answer_read(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``Read``."""
        ask: Read = waiting.ask  # type: ignore[assignment]
        self._check(ask.view)
        data = self._states[ask.name].get(ask.key)
        self._note(run, waiting, NOTHING if data is None else Raw(data), ask.key, late)
        return self.get(ask.view, ask.key)

    def answer_claim(self, run: LiveRun, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Answer a ``Claim``."""
        ask: Claim = waiting.ask  # type: ignore[assignment]
        done, value = self.claim(ask.view, ask.key, ask.expected, ask.new)
        self._note(run, waiting, value, ask.key, late)
        return done

    def _note(self, run: LiveRun, waiting: Waiting, value: Raw, key: str, late: bool) -> None:
        ask: Any = waiting.ask
        at = self._now()
        record = Record(
            ask.kind, at, ask.name, waiting.branch.path, waiting.no, waiting.occ, value=value, key=key, late=late
        )
        run.drive.note(self._log.record(run, record), at)  # type: ignore[union-attr]

    def claim_outside(self, view: View, key: str, expected: Any, new: Any) -> bool:
        """Compare and set from outside of runs; recorded either way."""
        done, value = self.claim(view, key, expected, new)
        self._log.outside(Record("claim", self._now(), view.name, value=value, key=key))
        return done
