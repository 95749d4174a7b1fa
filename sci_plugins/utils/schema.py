"""JSON as dataclasses, and back: their type hints are the schema of what a file holds.

Keys that a class does not have are ignored, so that files of other versions can be read.
"""

import json
import math
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from sci_plugins.errors import DataError, SciPluginsError, shorten
from sci_plugins.utils.folders import PathLike

T = TypeVar('T')
Read = Callable[[Any], Any]
#: A float that is NaN where there is nothing to measure: null in JSON. A float within limits
#: is an ``Annotated[float, low, high]``.
Measured = Annotated[float, None]
_MOST = 1e100  # larger numbers are damage; sums and drawings of them would overflow


class _MismatchError(Exception):
    """What is wrong, and where: keys and indices, the innermost first."""

    def __init__(self, message: str, wish: str = '') -> None:
        super().__init__(message)
        self.wish = wish
        self.place: list[str] = []

    def __str__(self) -> str:
        place = ''.join(reversed(self.place)).removeprefix('.')
        return f'{place}: {self.args[0]}' if place else str(self.args[0])


def read_json(path: PathLike) -> Any:
    """The content of a JSON file, UTF-8; ``OSError`` if there is none, ``DataError`` if no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: expected JSON in UTF-8 ({error})') from error


def from_content(kind: type[T], content: Any, where: PathLike) -> T:
    """An object of a dataclass from the content of a JSON file, which :func:`to_content` gave.

    The fields of ``kind`` are numbers, text, lists, dicts and such classes; ``where`` is the file.

    Raises:
        DataError: such as ``x.json: results[2].images: expected a whole number, got 'x'``.
    """
    schema: Any = kind
    try:
        return _reader(schema)(content)
    except _MismatchError as error:
        raise DataError(f'{where}: {error}') from None
    except RecursionError:
        raise DataError(f'{where}: lists or objects are nested too deeply') from None


def to_content(value: Any) -> Any:
    """What JSON can hold: objects for dataclasses, null for NaN and infinity.

    Left out are flags that have their default; added, properties in a class's ``ALSO_IN_JSON``.
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
        return partial(_read_object, hint, [(e, _reader(hints[e.name])) for e in fields(hint)])
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        low, high = inner[1:]
        return _plain(f'a number from {low:g} to {high:g}', partial(_is_between, low, high))
    readers = [_reader(each) for each in inner]
    if origin is dict:
        return partial(_read_dict, readers[1])
    if origin is list:
        return partial(_read_list, readers[0])
    return partial(_read_tuple if origin is tuple else _read_one_of, readers)


def _at(place: str, key: Any, read: Read, value: Any) -> Any:
    try:
        return read(value)
    except _MismatchError as error:
        error.place.append(place.format(key))
        raise


def tell_value(value: Any) -> str:
    """A value as it stands in the file, but for objects and lists."""
    if isinstance(value, dict | list):
        return 'an object' if isinstance(value, dict) else f'a list of {len(value)}'
    return shorten(repr(value) if isinstance(value, str) else json.dumps(value))


def _demand(fits: bool, wish: str, value: Any) -> None:
    if not fits:
        raise _MismatchError(f'expected {wish}, got {tell_value(value)}', wish)


def _read_object(kind: type, keys: list[tuple[Field, Read]], value: Any) -> object:
    _demand(isinstance(value, dict), 'an object', value)
    found = {}
    for field, read in keys:
        if field.name in value:
            found[field.name] = _at('.{}', field.name, read, value[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise _MismatchError(f'{field.name} is missing')
    try:
        return kind(**found)
    except SciPluginsError as error:
        raise _MismatchError(shorten(str(error), 200)) from error


def _read_dict(read: Read, value: Any) -> dict[str, Any]:
    _demand(isinstance(value, dict), 'an object', value)
    return {
        _at(' key', key, _PLAIN[str], key): _at('.{}', shorten(ascii(key)[1:-1]), read, each)
        for key, each in value.items()
    }


def _read_list(read: Read, value: Any) -> list[Any]:
    _demand(isinstance(value, list), 'a list', value)
    return [_at('[{}]', index, read, each) for index, each in enumerate(value)]


def _read_tuple(readers: list[Read], value: Any) -> tuple[Any, ...]:
    fits = isinstance(value, list) and len(value) == len(readers)
    _demand(fits, f'a list of {len(readers)}', value)
    pairs = enumerate(zip(readers, value, strict=True))
    return tuple(_at('[{}]', index, read, each) for index, (read, each) in pairs)


def _read_one_of(readers: list[Read], value: Any) -> Any:
    wishes = []
    for read in readers:
        try:
            return read(value)
        except _MismatchError as error:  # noqa: PERF203
            if error.place or not error.wish:
                raise  # the right kind of value, with something wrong inside
            wishes.append(error.wish)
    return _demand(False, ' or '.join(wishes), value)


def _read_any(value: Any) -> Any:
    if isinstance(value, dict):
        return _read_dict(_read_any, value)
    if isinstance(value, list):
        return _read_list(_read_any, value)
    return _PLAIN[type(value)](value)


def _read_measured(value: Any) -> float:
    found = _read_one_of([_PLAIN[float], _PLAIN[NoneType]], value)
    return math.nan if found is None else float(found)


def _is_between(low: float, high: float, value: Any) -> bool:
    return type(value) in (int, float) and low <= value <= high


def _plain(wish: str, fits: Callable[[Any], bool]) -> Read:
    def read(value: Any) -> Any:
        _demand(fits(value), wish, value)
        return value

    return read


_PLAIN: dict[Any, Read] = {
    Any: _read_any,
    Measured: _read_measured,
    # A file's name has no NUL; half of a surrogate pair cannot be written.
    str: _plain('text', lambda v: isinstance(v, str) and not re.search('[\0\ud800-\udfff]', v)),
    int: _plain('a whole number', lambda value: type(value) is int and abs(value) <= _MOST),
    float: _plain('a finite number', partial(_is_between, -_MOST, _MOST)),
    bool: _plain('true or false', lambda value: isinstance(value, bool)),
    NoneType: _plain('null', lambda value: value is None),
}
