"""Annotations that msgspec does not read, and exceptions that JSON does not take."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tickwork.core.codec import MAX_VALUE, codec_for, encode_error, said
from tickwork.errors import Fatal, InvalidInput, StepFailed
from tickwork.outcome import Found, NotFound


class Done(msgspec.Struct, frozen=True):
    """What an effect gave."""

    order: str
    price: Decimal = Decimal("1.10")


class Other(msgspec.Struct, frozen=True):
    """Something else."""

    n: int


class Opaque:
    """Neither msgspec nor pydantic can read it."""


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Found[Done] | NotFound, Found(Done("a"))),
        (Found[Done] | NotFound, NotFound()),
        (Found[Other] | Found[Done], Found(Done("b", Decimal("2.50")))),
        (Found[list[Done]] | NotFound, Found([Done("c")])),
        (Found[Done | None] | NotFound, Found(None)),
    ],
)
def test_structs_within_what_pydantic_reads(annotation: Any, value: Any) -> None:
    codec = codec_for(annotation)
    raw, seen = codec.round_trip(value, "it")
    assert seen == value
    assert codec.decode(raw, "it") == value


def test_a_wrong_struct_is_refused() -> None:
    with pytest.raises(InvalidInput):
        codec_for(Found[Done] | Found[Other]).decode(b'{"value":{"order":5}}', "it")


def test_what_nobody_reads_is_refused_when_a_value_would_be_lost() -> None:
    codec = codec_for(Found[Opaque] | NotFound)
    with pytest.raises(InvalidInput, match="gives back as it was"):
        codec.round_trip(NotFound(), "it")
    assert codec.round_trip({"a": 1}, "it")[1] == {"a": 1}


class Mute(Exception):
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Hidden(Mute, Fatal):
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class Wordless(Exception):
    """Says something that is no text."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307 - that is what is wrong with it


@pytest.mark.parametrize("error", [Mute(1), Hidden(1), Wordless(), ValueError("\ud800"), KeyError("a\udfff", object())])
def test_every_error_can_be_recorded(error: Exception) -> None:
    raw, seen = encode_error(error)
    assert isinstance(seen, StepFailed)
    assert type(error).__qualname__ in seen.type
    assert seen.fatal is isinstance(error, Fatal)
    bytes(raw).decode()
    said(error).encode()


def test_words_without_an_end_are_cut() -> None:
    raw, seen = encode_error(ValueError("long " * 1_000_000))
    assert len(bytes(raw)) < MAX_VALUE
    assert "(5,000,000 characters)" in str(seen)
    assert str(encode_error(ValueError("long " * 1_000))[1]) == "long " * 1_000
