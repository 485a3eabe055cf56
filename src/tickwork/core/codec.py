"""How values get on the tape and back: JSON, typed by the annotation of what produced or takes them.

The body of a workflow always receives the *decoded* record, so the first run and a replay see the same value. Without
an annotation (or with ``Any``, ``dict``, ``list``) plain JSON comes back: a ``Decimal`` would come back as text. Such a
loss is refused when the value is written, with the annotation that would keep it; a tuple that comes back as a list is
let through.
"""

from __future__ import annotations

import importlib
import typing
import zlib
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from typing import Any

import msgspec
from msgspec import Raw
from pydantic import BaseModel, ValidationError

from tickwork.core.adapters import adapter_of
from tickwork.core.event import invalid
from tickwork.errors import Fatal, InvalidInput, StepFailed

MAX_VALUE = 1 << 20
"""The largest result or input, in bytes of JSON."""

MESSAGE_MAX = 100_000
"""Characters of an error's words that are kept when the whole of it is too large."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
"""What JSON gives back as it was."""
_UNTYPED = frozenset({Any, dict, list, object, typing.Any})


def _encode_hook(value: object) -> object:
    if isinstance(value, BaseModel):
        return Raw(value.model_dump_json(by_alias=True).encode())
    raise TypeError(f"a {type(value).__name__}")


def _decode_hook(wanted: type, value: object) -> object:
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return wanted.model_validate(value)
    raise NotImplementedError(wanted)


_encode = msgspec.json.Encoder(enc_hook=_encode_hook).encode
_encode_sorted = msgspec.json.Encoder(enc_hook=_encode_hook, order="deterministic").encode
_decode_any = msgspec.json.Decoder().decode


class Codec:
    """Writes and reads values of one annotation."""

    __slots__ = ("_decode", "_dump", "_same", "annotation", "untyped")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self.untyped = _is_untyped(annotation)
        self._same = annotation if annotation in _SCALARS else type(None) if annotation is None else None
        self._dump: Callable[[Any], bytes] = _encode
        self._decode: Callable[[bytes], Any]
        if self.untyped:
            self._decode = _decode_any
        elif annotation is datetime:
            self._dump, self._decode = _dump_time, self._typed(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            validate = annotation.__pydantic_validator__.validate_json
            self._dump, self._decode = _dump_model, lambda data: validate(bytes(data))
        else:
            self._decode = self._typed(annotation)

    def _typed(self, annotation: Any) -> Callable[[bytes], Any]:
        try:
            return msgspec.json.Decoder(annotation, dec_hook=_decode_hook).decode
        except TypeError:
            # msgspec reads no unions of classes and the like; pydantic does, more slowly
            adapter = adapter_of(annotation)
        if adapter is None:
            self.untyped = True  # what JSON would not give back is refused when it is written
            return _decode_any
        self._dump = adapter.dump_json
        return lambda data: adapter.validate_json(bytes(data))

    def round_trip(self, value: Any, what: object) -> tuple[Raw, Any]:
        """Encode ``value`` and return its bytes with what a later reader will see; ``what`` names it in errors.

        Raises:
            InvalidInput: it cannot be put on the tape, or would come back as something else, or is too large.
        """
        if type(value) is self._same and (type(value) is not float or isfinite(value)):
            data = _encode(value)
            if len(data) <= MAX_VALUE:
                return Raw(data), value
        data = self.encode(value, what)
        try:
            decoded = self._decode(data)
        except (ValueError, NotImplementedError) as error:  # msgspec's and pydantic's validation errors are ValueErrors
            expected = f"a value of its annotation {_name(self.annotation)} ({error})"
            raise InvalidInput(str(what), repr(value)[:200], expected) from None
        if (self.untyped or decoded is None) and decoded != value:
            check_lossless(value, decoded, str(what))
        return Raw(data), decoded

    def encode(self, value: Any, what: object) -> bytes:
        """Encode ``value``.

        Raises:
            InvalidInput: it cannot be put on the tape or is too large.
        """
        try:
            data = self._dump(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(
                str(what), type(value).__name__, f"a value that JSON can hold; {error} cannot be put on the tape"
            ) from None
        if len(data) > MAX_VALUE:
            raise InvalidInput(
                str(what),
                f"{len(data):,} bytes",
                f"at most {MAX_VALUE:,} bytes of JSON; store it elsewhere (a file, a table, a recording) and return "
                "its path or key",
            )
        return data

    def decode(self, data: bytes | Raw, what: str) -> Any:
        """Read a value back.

        Raises:
            InvalidInput: the bytes are not a value of the annotation.
        """
        try:
            return self._decode(data)
        except (ValueError, NotImplementedError) as error:
            found = bytes(data)[:200].decode(errors="replace")
            if isinstance(error, ValidationError) and isinstance(self.annotation, type):
                raise invalid(self.annotation, error) from None
            raise InvalidInput(what, found, f"JSON of {_name(self.annotation)} ({error})") from None


def _dump_model(value: BaseModel) -> bytes:
    if not isinstance(value, BaseModel):
        raise TypeError(f"a {type(value).__name__}")
    return value.__pydantic_serializer__.to_json(value, by_alias=True)


def _dump_time(value: Any) -> bytes:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a naive datetime (give it a zone, e.g. tzinfo=UTC)")
    return _encode(value)


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation)


def _is_untyped(annotation: Any) -> bool:
    """True when the annotation says nothing about what is inside, so that JSON's own types come back."""
    if isinstance(annotation, type) or annotation is Any:
        return annotation in _UNTYPED
    return typing.get_origin(annotation) in (dict, list) and Any in typing.get_args(annotation)


def check_lossless(value: Any, decoded: Any, path: str) -> None:
    """Find what JSON changed.

    Raises:
        InvalidInput: anything but a tuple that became a list was changed.
    """
    if isinstance(value, list | tuple) and isinstance(decoded, list) and len(value) == len(decoded):
        for index, (before, after) in enumerate(zip(value, decoded, strict=True)):
            check_lossless(before, after, f"{path}[{index}]")
    elif isinstance(value, dict) and isinstance(decoded, dict) and value.keys() == decoded.keys():
        for key in value:
            check_lossless(value[key], decoded[key], f"{path}.{key}")
    elif isinstance(value, float) and not isfinite(value):
        raise InvalidInput(path, value, "a finite number; NaN and infinity have no place on the tape")
    elif value != decoded:
        raise InvalidInput(
            path,
            f"{type(value).__name__} {value!r}"[:200],
            f"a value that JSON gives back as it was (this would come back as {type(decoded).__name__} {decoded!r}); "
            "annotate the function's return type, e.g. -> Decimal, -> tuple[...], -> MyModel",
        )


_codecs: dict[Any, Codec] = {}


def codec_for(annotation: Any) -> Codec:
    """The codec of an annotation; made once."""
    try:
        found = _codecs.get(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return Codec(annotation)
    if found is None:
        found = _codecs[annotation] = Codec(annotation)
    return found


ANY = codec_for(Any)


def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The resolved annotations of a function; empty when they cannot be resolved (local classes, partials)."""
    target = fn if hasattr(fn, "__annotations__") else getattr(type(fn), "__call__", fn)  # noqa: B004
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def fingerprint(args: tuple[Any, ...]) -> int:
    """A number that changes when the arguments do; 0 when they do not serialise."""
    if not args:
        return 1
    try:
        return zlib.crc32(_encode_sorted(args)) or 1
    except (TypeError, ValueError, RecursionError):
        return 0


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    message: str
    args: list[Any] | None = None
    fatal: bool = False


_decode_error = msgspec.json.Decoder(_Error).decode


def said(error: BaseException | None) -> str:
    """What an error says, as a text that the tape can hold: also of one that cannot be put into words."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's `__str__` may raise anything
        try:
            text = repr(error)
        except Exception:  # noqa: BLE001 - and so may its `__repr__`
            text = f"<{type(error).__name__}, which cannot be shown>"
    if text.isascii():
        return text
    return text.encode(errors="replace").decode()  # half of a pair of surrogates is no character


def encode_error(error: BaseException) -> tuple[Raw, BaseException]:
    """An exception as bytes, with what a later reader will see: its own class if it round-trips, else StepFailed.

    It never fails: of what cannot be put on the tape (arguments, words, more than ``MAX_VALUE``) the rest is kept.
    """
    name = f"{type(error).__module__}:{type(error).__qualname__}"
    itself = _as_itself(error, name)
    if itself is not None:
        return itself
    name = name.encode(errors="replace").decode()
    message = said(error)
    if len(message) > MESSAGE_MAX:
        message = f"{message[:MESSAGE_MAX]}… ({len(message):,} characters)"
    data = _encode(_Error(name, message, fatal=isinstance(error, Fatal)))
    return Raw(data), decode_error(Raw(data))


def _as_itself(error: BaseException, name: str) -> tuple[Raw, BaseException] | None:
    """An exception that comes back as it was; ``None``: this one would not."""
    try:
        data = Raw(_encode(_Error(name, str(error), list(error.args))))
        rebuilt = decode_error(data) if len(data) <= MAX_VALUE else None
    except Exception:  # noqa: BLE001 - its arguments are not JSON, or its `__str__`, which is the user's, raised
        return None
    return (data, rebuilt) if rebuilt is not None and type(rebuilt) is type(error) else None


def decode_error(data: Raw | bytes) -> BaseException:
    """Rebuild a recorded exception."""
    recorded = _decode_error(data)
    if recorded.args is not None:
        rebuilt = _rebuild(recorded)
        if rebuilt is not None:
            return rebuilt
    return StepFailed(recorded.type, recorded.message, recorded.fatal)


def _rebuild(recorded: _Error) -> BaseException | None:
    module, _, qualname = recorded.type.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
        if not (isinstance(found, type) and issubclass(found, Exception)):
            return None  # a name on the tape calls nothing but the class of an exception
        error = found(*(recorded.args or ()))
    except Exception:  # noqa: BLE001 - any constructor may raise anything: then the exception is not one that round-trips
        return None
    same = isinstance(error, Exception) and list(error.args) == recorded.args and str(error) == recorded.message
    return error if same else None
