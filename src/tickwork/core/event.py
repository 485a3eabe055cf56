"""Events: something that happened. Frozen, validated at the edge, camelCase on the wire.

    class SymbolWatch(Event, name="mexc/symbol.watch", version=1):
        vcoin_id: str
        attempt: int = 1

The wire form of that event is ``{"vcoinId":"abc","attempt":1}``. Times must be aware, floats must be finite; money
uses the types of ``tickwork.values``, which refuse floats.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tickwork.errors import InvalidInput

_known: dict[tuple[str, int], type[Event]] = {}


def known_event(name: str, version: int) -> type[Event] | None:
    """The class of an event that this process has declared; of several, the last."""
    return _known.get((name, version))


class Event(BaseModel):
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

    @model_validator(mode="after")
    def _times_are_aware(self) -> Self:
        for field, value in self.__dict__.items():
            if type(value) is datetime and value.tzinfo is None:
                raise ValueError(f"{to_camel(field)} is a naive datetime; give it a zone, e.g. tzinfo=UTC")
        return self

    def replace(self, **changes: Any) -> Self:
        """A copy with the named fields changed; validated like a new event.

        Raises:
            InvalidInput: a field is unknown or its value is wrong.
        """
        fields = {field: getattr(self, field) for field in type(self).model_fields}
        return self.make(**{**fields, **changes})

    @classmethod
    def make(cls, **fields: Any) -> Self:
        """Like the constructor, but a wrong field raises ``InvalidInput`` instead of pydantic's error."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise invalid(cls.__name__, error) from None

    @classmethod
    def from_wire(cls, payload: bytes | str) -> Self:
        """Read the camelCase JSON form.

        Raises:
            InvalidInput: not JSON, or a field is missing, unknown or wrong.
        """
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            raise invalid(cls.event_name, error) from None

    def to_wire(self) -> bytes:
        """The camelCase JSON form."""
        return self.model_dump_json(by_alias=True).encode()


class Alert(Event, name="tickwork/alert"):
    """Something needs a person. Published by the engine; notifications and workflows may listen to it."""

    run: str
    """Id of the run it is about."""
    what: str
    detail: str


def invalid(path: str, error: ValidationError) -> InvalidInput:
    """The first complaint of a pydantic error, as ours: the path of the field, what was found, what is right."""
    first = error.errors(include_url=False)[0]
    where = ".".join([path, *(str(part) for part in first["loc"])])
    found = "nothing" if first["type"] == "missing" else first["input"]
    return InvalidInput(
        where, found if isinstance(found, str | int | float | bool) else repr(found)[:200], first["msg"]
    )
