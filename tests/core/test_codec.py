"""Values and errors on their way to the tape and back."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from json import dumps
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import tickwork
from tickwork.core.codec import MAX_VALUE, codec_for, decode_error, encode_error, fingerprint
from tickwork.core.functions import function_of
from tickwork.errors import (
    Cancelled,
    ForeignAwait,
    InvalidInput,
    NonDeterministic,
    Refused,
    Rejected,
    RunCancelled,
    StepFailed,
    TickworkError,
    TimedOut,
)


class Side(Enum):
    BUY = "buy"


@dataclass
class Point:
    x: Decimal
    y: tuple[int, ...]


class Model(BaseModel):
    price: Decimal
    seen_at: datetime | None = None


class Other(BaseModel):
    name: str


class Pair(NamedTuple):
    left: int
    right: str


class Packed(msgspec.Struct):
    number: int


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 5),
        (float, 0.1),
        (str, "ü\n"),
        (bytes, b"\x00\xff"),
        (None, None),
        (Decimal, Decimal("1.2300")),
        (datetime, NOON),
        (timedelta, timedelta(seconds=1.5)),
        (tuple[int, str], (1, "a")),
        (tuple[Decimal, ...], (Decimal(1), Decimal(2))),
        (set[int], {1, 2}),
        (dict[str, Decimal], {"a": Decimal("0.1")}),
        (dict[int, str], {1: "a"}),
        (list[Point], [Point(Decimal(1), (1, 2))]),
        (Point, Point(Decimal("1.10"), (1,))),
        (Model, Model(price=Decimal("3.10"), seen_at=NOON)),
        (list[Model], [Model(price=Decimal("3.10"))]),
        (Model | None, None),
        (Model | None, Model(price=Decimal(1))),
        (Model | Other, Other(name="b")),
        (dict[str, Model], {"a": Model(price=Decimal(1))}),
        (Side, Side.BUY),
        (Pair, Pair(1, "x")),
        (Packed, Packed(3)),
        (Any, {"a": [1, 2.5, None, True, "x"]}),
        (dict, {"a": 1}),
        (list, [1]),
    ],
)
def test_typed_values_come_back_as_they_were(annotation: Any, value: Any) -> None:
    codec = codec_for(annotation)
    raw, seen = codec.round_trip(value, "it")
    assert seen == value
    assert type(seen) is type(value)
    again = codec.decode(raw, "it")
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("value", [Decimal(1), NOON, Point(Decimal(1), ()), {"a": Decimal(1)}, [NOON], {1: "a"}])
def test_what_json_would_change_is_refused_without_an_annotation(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        codec_for(Any).round_trip(value, "result")
    assert "annotate" in str(refused.value)


def test_a_tuple_may_come_back_as_a_list() -> None:
    assert codec_for(Any).round_trip((1, (2, 3)), "it")[1] == [1, [2, 3]]


@pytest.mark.parametrize("annotation", [Any, float, dict, list[float], "Model", float | None])
def test_not_a_number_has_no_place_on_the_tape(annotation: Any) -> None:
    class Loose(BaseModel):
        score: float

    nan = float("nan")
    value = {dict: {"a": nan}, list[float]: [nan], "Model": Loose(score=nan)}.get(annotation, nan)
    with pytest.raises(InvalidInput):
        codec_for(Loose if annotation == "Model" else annotation).round_trip(value, "it")


def test_a_value_of_another_type_than_annotated_is_refused() -> None:
    with pytest.raises(InvalidInput):
        codec_for(int).round_trip("five", "it")
    with pytest.raises(InvalidInput):
        codec_for(Model).round_trip({"price": "1"}, "it")


def test_what_json_cannot_hold_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    for value in (object(), loop, lambda: 1):
        with pytest.raises(InvalidInput):
            codec_for(Any).round_trip(value, "it")


def test_a_value_may_have_a_megabyte() -> None:
    codec_for(str).round_trip("x" * (MAX_VALUE - 2), "it")
    for annotation in (str, Any):
        with pytest.raises(InvalidInput) as refused:
            codec_for(annotation).round_trip("x" * MAX_VALUE, "it")
        assert "store it elsewhere" in str(refused.value)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json)
def test_json_comes_back_as_it_was(value: Any) -> None:
    raw, seen = codec_for(Any).round_trip(value, "it")
    assert seen == value
    assert codec_for(Any).decode(raw, "it") == value


@given(json, json)
def test_equal_arguments_have_equal_fingerprints(one: Any, two: Any) -> None:
    # equal as JSON: to Python False is 0, and 1 is 1.0
    same = dumps(one, sort_keys=True) == dumps(two, sort_keys=True)
    assert (fingerprint((one,)) == fingerprint((two,))) or not same
    assert fingerprint((one,)) == fingerprint((one,)) != 0


def test_fingerprints_do_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint(({"a": 1, "b": 2},)) == fingerprint(({"b": 2, "a": 1},))
    assert fingerprint((object(),)) == 0


# -------------------------------------------------------------------------------------------------------------- errors

SAMPLES: dict[str, tuple[Any, ...]] = {
    "InvalidInput": ("retry.delay", 5, "a duration"),
    "InvalidExpression": ("condition", "a = 1", "== to compare", 2),
    "Refused": ("max_loss", Decimal(10), Decimal(11)),
    "Rejected": ("paper", "no money"),
    "BreakerOpen": ("mexc", 1_600_000_000_000_000_000, "5 failures"),
    "StepFailed": ("x:Y", "message"),
    "ForeignAwait": ("a Future", "file:1"),
    "TimedOut": ("step 'a'", "5s", "advice"),
    "RunCancelled": ("r1", "reason"),
    "NonDeterministic": ("r1", "asked", "recorded", "file:1"),
}


def every_error() -> list[type[TickworkError]]:
    """Every class of the tree, wherever it is declared."""
    for module in pkgutil.walk_packages(tickwork.__path__, "tickwork."):
        if module.name.rpartition(".")[2] not in ("app", "__main__") and ".faces" not in module.name:
            try:
                importlib.import_module(module.name)
            except ImportError:
                continue  # an extra that is not installed
    found: list[type[TickworkError]] = []
    todo: list[type[TickworkError]] = [TickworkError]
    while todo:
        cls = todo.pop()
        found.append(cls)
        todo += cls.__subclasses__()
    return [cls for cls in dict.fromkeys(found) if cls.__module__.startswith("tickwork.")]


@pytest.mark.parametrize("cls", every_error(), ids=lambda cls: cls.__name__)
def test_every_error_of_ours_comes_back_as_itself(cls: type[TickworkError]) -> None:
    args = next((SAMPLES[base.__name__] for base in cls.__mro__ if base.__name__ in SAMPLES), ("a message",))
    try:
        error = cls(*args)
    except TypeError:
        pytest.skip("has a constructor of its own; its room tests it")
    raw, seen = encode_error(error)
    again = decode_error(raw)
    assert type(seen) is type(again) is cls
    assert again.args == seen.args == error.args
    assert str(again) == str(error)


@pytest.mark.parametrize(
    "error", [ValueError("no"), KeyError("k"), OSError(2, "gone"), TimeoutError(), RuntimeError(1, 2)]
)
def test_errors_of_python_come_back_as_themselves(error: Exception) -> None:
    again = decode_error(encode_error(error)[0])
    assert type(again) is type(error)
    assert str(again) == str(error)


class Odd(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")


class WithObject(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Odd(code=3), WithObject(object()), WithObject((1, 2)), Cancelled("x"), KeyboardInterrupt()]
)
def test_what_does_not_round_trip_becomes_step_failed(error: BaseException) -> None:
    raw, seen = encode_error(error)
    assert type(seen) is StepFailed
    assert str(error) in str(seen)
    assert decode_error(raw).args == seen.args


def test_an_error_on_the_tape_calls_nothing_but_errors(tmp_path: Any) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    for name in ("os:unlink", "builtins:exec", "subprocess:Popen", "pathlib:Path.unlink"):
        error = decode_error(msgspec.json.encode({"type": name, "message": "", "args": [str(victim)]}))
        assert isinstance(error, StepFailed)
    assert victim.exists()


def test_names_of_errors_are_checked() -> None:
    for cls in (ForeignAwait, NonDeterministic, Refused, Rejected, RunCancelled, TimedOut):
        assert issubclass(cls, TickworkError)


# ----------------------------------------------------------------------------------------------------------- functions


def test_a_function_is_typed_by_its_return_annotation() -> None:
    def price() -> Decimal:
        return Decimal("1.10")

    class Caller:
        def method(self) -> Decimal:
            return Decimal("1.10")

        def __call__(self) -> Decimal:
            return Decimal("1.10")

    for fn in (price, Caller().method, Caller()):
        function = function_of(fn)
        assert function.codec.round_trip(fn(), "it")[1] == Decimal("1.10")
    assert function_of(price).name.endswith("price")
