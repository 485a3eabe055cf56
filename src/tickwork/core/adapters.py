"""Annotations that msgspec does not read by itself, such as unions of classes: read by pydantic, structs within too."""

from __future__ import annotations

import types
import typing
from functools import reduce
from operator import or_
from typing import Annotated, Any

import msgspec
from pydantic import GetCoreSchemaHandler, PydanticUserError, TypeAdapter
from pydantic_core import CoreSchema, core_schema


class _AsStruct:
    """Lets pydantic read and write a ``msgspec.Struct`` the way msgspec does."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self._struct = struct

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Pydantic asks for this."""
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.plain_serializer_function_ser_schema(self._written)
        )

    def _read(self, value: Any) -> Any:
        return value if isinstance(value, self._struct) else msgspec.convert(value, self._struct)

    @staticmethod
    def _written(value: Any) -> Any:
        # JSON's own types: what is written here is JSON in any case
        return msgspec.to_builtins(value)


def adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """What reads values of an annotation by pydantic; ``None``: it cannot."""
    try:
        return TypeAdapter(_readable(annotation))
    except (PydanticUserError, TypeError):
        return None


def _readable(annotation: Any) -> Any:
    """The annotation, with structs told to pydantic where they stand as arguments: ``Found[MyStruct] | NotFound``."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return Annotated[annotation, _AsStruct(annotation)]
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is None or origin is Annotated or origin is typing.Literal:
        return annotation
    args = tuple(_readable(one) for one in given)
    if args == given:
        return annotation
    if origin is typing.Union or origin is types.UnionType:
        return reduce(or_, args)
    return origin[args]
