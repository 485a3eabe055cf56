"""Events: something that happened. Frozen, validated at the edge, camelCase on the wire.

    class SymbolWatch(Event, name="mexc/symbol.watch", version=1):
        vcoin_id: str
        attempt: int = 1

The wire form of that event is ``{"vcoinId":"abc","attempt":1}``. Times must be aware, floats must be finite; money
uses the types of ``tickwork.values``, which refuse floats.

A new form of an event gets a new ``version`` and says how to read the old ones, of which tapes and queues are full:

    class SymbolWatch(Event, name="mexc/symbol.watch", version=2):
        symbol: str
        attempt: int = 1

        @classmethod
        def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
            return {"symbol": fields["vcoinId"].upper(), "attempt": fields.get("attempt", 1)}
"""

from __future__ import annotations

from datetime import datetime
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from tickwork.errors import InvalidInput, NewerEvent

_known: dict[tuple[str, int], type[Event]] = {}


def newest_event(name: str) -> type[Event] | None:
    """The class of an event that this process has declared, of its highest version."""
    versions = [version for known, version in _known if known == name]
    return _known[name, max(versions)] if versions else None


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelType
    from pydantic_core import ErrorDetails
else:
    _ModelType = type(BaseModel)


class _EventType(_ModelType):
    """Makes a wrong field raise our error. A constructor of our own would slow down every decoding."""

    def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805 - of a metaclass
        try:
            return super().__call__(*args, **fields)
        except ValidationError as error:
            raise invalid(cls, error) from None  # type: ignore[arg-type]


def _may_hold_a_time(annotation: object) -> bool:
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return "date" in text.lower() or "Any" in text or "object" in text


def _times_are_aware(event: Event, _context: object, /) -> None:
    """Runs after an event is made; only where an annotation may hold a time, because it costs as much as a field."""
    for field, value in event.__dict__.items():
        if type(value) is datetime and value.tzinfo is None:
            path = f"{event.event_name}.{to_camel(field)}"
            raise InvalidInput(path, value.isoformat(), "an aware datetime, e.g. one with tzinfo=UTC")


class Event(BaseModel, metaclass=_EventType):
    """Base class of all events. Subclasses give ``name`` (unique) and ``version`` in the class statement."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )

    event_name: ClassVar[str] = ""
    event_version: ClassVar[int] = 1

    def __init_subclass__(cls, *, name: str | None = None, version: int = 1, **options: Any) -> None:
        super().__init_subclass__(**options)
        if name is None and not cls.event_name:
            raise InvalidInput(
                f"{cls.__name__}(name=)", None, "a name in the class statement, e.g. name='mexc/symbol.watch'"
            )
        if version < 1:
            raise InvalidInput(f"{cls.__name__}(version=)", version, "a whole number from 1")
        cls.event_name = name or cls.event_name
        cls.event_version = version
        _known[cls.event_name, version] = cls
        if any(_may_hold_a_time(annotation) for annotation in get_annotations(cls).values()):
            cls.model_post_init = _times_are_aware  # type: ignore[method-assign,assignment]

    @property
    def happened_at(self) -> datetime | None:
        """When what the event tells of became known, if it says so itself; else its publication counts.

        A workflow's ``valid_for`` measures an event's age from here.
        """
        return None

    def replace(self, **changes: Any) -> Self:
        """A copy with the named fields changed; validated like a new event.

        Raises:
            InvalidInput: a field is unknown or its value is wrong.
        """
        fields = {field: getattr(self, field) for field in type(self).model_fields}
        return type(self)(**{**fields, **changes})

    @classmethod
    def from_wire(cls, payload: bytes | str) -> Self:
        """Read the camelCase JSON form.

        Raises:
            InvalidInput: not JSON, or a field is missing, unknown or wrong.
        """
        try:
            return cls.__pydantic_validator__.validate_json(payload)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise invalid(cls, error) from None

    @classmethod
    def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG003 - for those who override it
        """The fields of an older ``version`` of this event, as they were on the wire, as the fields of this one.

        To be overridden where ``version`` is raised; by default an older version cannot be read.

        Raises:
            InvalidInput: there is no way from that version to this one.
        """
        raise InvalidInput(
            cls.event_name, f"version {version}", f"version {cls.event_version}, or a classmethod `upcast` on "
            f"{cls.__name__} that makes the fields of an older version into its own",
        )  # fmt: skip

    @classmethod
    def read(cls, version: int, payload: bytes) -> Self:
        """Read the wire form of this version or of an older one.

        Raises:
            NewerEvent: it is of a newer version than this class.
            InvalidInput: it cannot be read, or not be made into this version.
        """
        if version == cls.event_version:
            return cls.from_wire(payload)
        if version > cls.event_version:
            raise NewerEvent(cls.event_name, version, cls.event_version)
        old = msgspec.json.decode(payload)
        if not isinstance(old, dict):
            raise InvalidInput(cls.event_name, payload[:100].decode(errors="replace"), "a JSON object")
        return cls(**cls.upcast(version, old))

    @classmethod
    def reads(cls, version: int) -> bool:
        """Is this the class for events of that version: its own, or an older one that it can upcast?"""
        return version == cls.event_version or (version < cls.event_version and _upcasts(cls))

    def to_wire(self) -> bytes:
        """The camelCase JSON form."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)


def _upcasts(event: type[Event]) -> bool:
    return event.upcast.__func__ is not Event.upcast.__func__  # type: ignore[attr-defined]


def read_event(name: str, version: int, payload: bytes) -> Event | None:
    """An event from its wire form, as the class this process has for it; ``None`` when it knows no event of the name.

    The class of just that version if there is one, else the newest that can upcast it.

    Raises:
        NewerEvent: only older versions are known. InvalidInput: it cannot be read, or not be upcast.
    """
    known = _known.get((name, version)) or newest_event(name)
    return None if known is None else known.read(version, payload)


def tagged(tag: str) -> tuple[str, int]:
    """Name and version of an event, from its tag."""
    name, _, version = tag.rpartition("@")
    return (name, int(version)) if name and version.isdigit() else (tag, 1)


def event_tag(event: type[Event]) -> str:
    """Name of an event, with its version from the second on: what a run's record says of the event that started it."""
    return event.event_name if event.event_version == 1 else f"{event.event_name}@{event.event_version}"


class Alert(Event, name="tickwork/alert"):
    """Something needs a person. Published by the engine; notifications and workflows may listen to it."""

    run: str
    """Id of the run it is about."""
    what: str
    detail: str


def invalid(model: type[BaseModel], error: ValidationError) -> InvalidInput:
    """The most telling complaint of a pydantic error as ours: path, what was found, what would be right."""
    return complaints(model, error)[0]


_SHOWN_MAX = 200
"""Characters of what was found that a complaint shows."""


def complaints(model: type[BaseModel], error: ValidationError) -> list[InvalidInput]:
    """Every complaint of a pydantic error as ours, unknown fields first."""
    # an unknown field beside a missing one is a misspelt one: it says more
    found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    return [_complaint(model, one) for one in found]


def _complaint(model: type[BaseModel], one: ErrorDetails) -> InvalidInput:
    name = getattr(model, "event_name", "") or model.__name__
    path = ".".join([name, *(str(part)[:_SHOWN_MAX] for part in one["loc"])])
    found = one["input"]
    if not isinstance(found, int | float | bool):
        found = (found if isinstance(found, str) else repr(found))[:_SHOWN_MAX]
    if one["type"] == "extra_forbidden":
        known = ", ".join(field.alias or field_name for field_name, field in model.model_fields.items())
        return InvalidInput(path, found, f"one of its fields: {known or 'it has none'}")
    if one["type"] == "missing":
        return InvalidInput(path, "nothing", "a value: the field is required")
    text = one["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return InvalidInput(path, found, text[:1].lower() + text[1:])
