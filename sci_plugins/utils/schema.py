"""JSON as dataclasses, and back: what a file holds is checked where it is read.

The type hints of a dataclass are the schema of its JSON object. Keys that a class does not
have are ignored, so that files of other versions can be read.
"""

import json
import math
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    NoReturn,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from sci_plugins.errors import DataError, SciPluginsError, shorten

T = TypeVar('T')
Read = Callable[[Any], Any]
#: A float that is NaN where there is nothing to measure: null in JSON. A float within limits
#: is an ``Annotated[float, low, high]``.
Measured = Annotated[float, None]
# Larger numbers are damage; sums and drawings of them would overflow.
_MOST = 1e100


class _MismatchError(Exception):
    """What is wrong, and where: keys and indices, the innermost first."""

    def __init__(self, message: str, wish: str = '') -> None:
        super().__init__(message)
        self.wish = wish
        self.place: list[str] = []

    def __str__(self) -> str:
        place = ''.join(reversed(self.place)).removeprefix('.')
        return f'{place}: {self.args[0]}' if place else str(self.args[0])


def read_json(path: str | os.PathLike[str]) -> Any:
    """The content of a JSON file, UTF-8.

    Raises:
        OSError: if the file is missing or cannot be read.
        DataError: naming the file, if it is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: expected JSON in UTF-8 ({error})') from error


def from_content(kind: type[T], content: Any, where: str | os.PathLike[str]) -> T:
    """An object of a dataclass from the content of a JSON file.

    Args:
        kind: a class whose fields are numbers, text, lists, dicts and such classes.
        content: what :func:`to_content` gave, or an older or edited form of it.
        where: the file, for the message.

    Raises:
        DataError: such as ``x.json: results[2].images: expected a whole number, got 'x'``.
    """
    schema: Any = kind
    try:
        found: T = _reader(schema)(content)
    except _MismatchError as error:
        raise DataError(f'{where}: {error}') from None
    return found


def to_content(value: Any) -> Any:
    """What JSON can hold: objects for dataclasses, null for NaN and infinity.

    Flags are there where they differ from their default, and properties that a class names in
    ``ALSO_IN_JSON`` for readers of the file.
    """
    if is_dataclass(value):
        flags = {each.name: each.default for each in fields(value) if each.type is bool}
        names = [*(each.name for each in fields(value)), *getattr(value, 'ALSO_IN_JSON', ())]
        found = {name: getattr(value, name) for name in names}
        return {k: to_content(v) for k, v in found.items() if k not in flags or v is not flags[k]}
    if isinstance(value, Mapping):
        return {key: to_content(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_content(each) for each in value]
    if isinstance(value, Real) and not isinstance(value, Integral):
        return float(value) if math.isfinite(value) else None
    return value


@cache
def _reader(hint: Hashable) -> Read:
    """What checks and converts a value of a type."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        keys = [_Key(f'.{each.name}', _reader(hints[each.name]), each) for each in fields(hint)]
        return partial(_read_object, hint, keys)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return partial(_read_float, *inner[1:])
    readers = [_reader(each) for each in inner]
    if origin is dict:
        return partial(_read_dict, readers[1])
    if origin is list:
        return partial(_read_list, readers[0])
    return partial(_read_tuple if origin is tuple else _read_one_of, readers)


class _Key(NamedTuple):
    place: str
    read: Read
    field: Field


def _at(place: str, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except _MismatchError as error:
        error.place.append(place)
        raise


def _wrong(wish: str, value: Any) -> NoReturn:
    raise _MismatchError(f'expected {wish}, got {_tell(value)}', wish)


def _tell(value: Any) -> str:
    """A value as it stands in the file, but for objects and lists."""
    if isinstance(value, dict | list):
        return 'an object' if isinstance(value, dict) else f'a list of {len(value)}'
    return shorten(repr(value) if isinstance(value, str) else json.dumps(value))


def _read_object(kind: type, keys: list[_Key], value: Any) -> object:
    if not isinstance(value, dict):
        _wrong('an object', value)
    found = {}
    for place, read, field in keys:
        if field.name in value:
            found[field.name] = _at(place, read, value[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise _MismatchError(f'{field.name} is missing')
    try:
        return kind(**found)
    except SciPluginsError as error:
        raise _MismatchError(shorten(str(error), 200)) from error


def _read_dict(read: Read, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _wrong('an object', value)
    return {
        _at(' key', _read_text, key): _at(f'.{shorten(ascii(key)[1:-1])}', read, each)
        for key, each in value.items()
    }


def _read_list(read: Read, value: Any) -> list[Any]:
    if not isinstance(value, list):
        _wrong('a list', value)
    return [_at(f'[{index}]', read, each) for index, each in enumerate(value)]


def _read_tuple(readers: list[Read], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) != len(readers):
        _wrong(f'a list of {len(readers)}', value)
    pairs = enumerate(zip(readers, value, strict=True))
    return tuple(_at(f'[{index}]', read, each) for index, (read, each) in pairs)


def _read_one_of(readers: list[Read], value: Any) -> Any:
    wishes = []
    for read in readers:
        found, wish = _attempt(read, value)
        if not wish:
            return found
        wishes.append(wish)
    return _wrong(' or '.join(wishes), value)


def _attempt(read: Read, value: Any) -> tuple[Any, str]:
    """The value read, or what was expected in its place."""
    try:
        return read(value), ''
    except _MismatchError as error:
        if error.place or not error.wish:
            raise  # the right kind of value, with something wrong inside
        return None, error.wish


def _read_text(value: Any) -> str:
    # A file's name has no NUL; half of a surrogate pair cannot be written.
    if not isinstance(value, str) or '\0' in value or not _is_unicode(value):
        _wrong('text', value)
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any('\ud800' <= each <= '\udfff' for each in text)


def _read_int(value: Any) -> int:
    if type(value) is not int or abs(value) > _MOST:
        _wrong('a whole number', value)
    return value


def _read_float(low: float, high: float, value: Any) -> Any:
    if type(value) not in (int, float) or not low <= value <= high:  # also NaN
        _wrong('a finite number' if high == _MOST else f'a number from {low:g} to {high:g}', value)
    return value


def _read_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        _wrong('true or false', value)
    return value


def _read_null(value: Any) -> None:
    if value is not None:
        _wrong('null', value)


def _read_any(value: Any) -> Any:
    if isinstance(value, dict):
        return _read_dict(_read_any, value)
    if isinstance(value, list):
        return _read_list(_read_any, value)
    return _PLAIN[type(value)](value)


_finite: Read = partial(_read_float, -_MOST, _MOST)


def _read_measured(value: Any) -> float:
    found = _read_one_of([_finite, _read_null], value)
    return math.nan if found is None else float(found)


_PLAIN: dict[Any, Read] = {
    Any: _read_any,
    str: _read_text,
    int: _read_int,
    float: _finite,
    Measured: _read_measured,
    bool: _read_bool,
    NoneType: _read_null,
}
