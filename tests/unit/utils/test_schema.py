"""JSON as dataclasses: what is read, what is refused, and how an error names the place."""

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from sci_plugins.errors import DataError, check_at_least
from sci_plugins.utils.schema import Measured, from_content, read_json, to_content


@dataclass(frozen=True)
class Part:
    ALSO_IN_JSON: ClassVar[tuple[str, ...]] = ('twice',)

    size: int
    value: Measured = 0.0

    def __post_init__(self) -> None:
        check_at_least(1, size=self.size)

    @property
    def twice(self) -> int:
        return 2 * self.size


@dataclass(frozen=True)
class Whole:
    name: str
    parts: list[Part]
    ends: tuple[float, float]
    found: dict[str, Measured]
    is_good: bool
    first: Part | None = None
    id: int | str = 0
    is_new: bool = True
    share: Annotated[float, 0, 1] = 0.5
    more: dict[str, Any] = field(default_factory=dict)


WHOLE = Whole(
    'a',
    [Part(1, math.nan), Part(2, 0.5)],
    (1, 2.5),
    dict(x=math.nan),
    True,
    Part(3),
    'i',
    False,
    0,
    {},
)


def _content() -> Any:
    return json.loads(json.dumps(to_content(WHOLE), allow_nan=False))


def test_there_and_back() -> None:
    content = _content()
    assert content['parts'][0] == dict(size=1, value=None, twice=2)
    assert content['found'] == dict(x=None)
    found = from_content(Whole, content | dict(unknown=[1]), 'x.json')
    assert math.isnan(found.parts[0].value)
    assert math.isnan(found.found['x'])
    assert (found.ends, found.first, found.id) == ((1, 2.5), Part(3), 'i')
    assert to_content(found) == content
    assert content['is_new'] is False
    assert 'is_new' not in to_content(replace(found, is_new=True))


def test_infinity_becomes_null() -> None:
    assert to_content([math.inf, dict(a=(math.nan,))]) == [None, dict(a=[None])]


def test_what_has_a_default_may_be_missing() -> None:
    content = _content()
    for key in ('first', 'id', 'is_new', 'share', 'more'):
        del content[key]
    assert from_content(Whole, content, '') == from_content(
        Whole, content | dict(first=None, id=0, is_new=True, share=0.5, more={}), ''
    )


@pytest.mark.parametrize(
    ('place', 'value', 'told'),
    [
        ((), [], 'expected an object, got a list of 0'),
        (('name',), None, 'name: expected text, got null'),
        (('name',), 'a\0b', r"name: expected text, got 'a\x00b'"),
        (('name',), '\ud800', r"name: expected text, got '\ud800'"),
        (('parts',), {}, 'parts: expected a list, got an object'),
        (('parts', 1), 'DEL', 'parts[1]: expected an object, got 3'),
        (('parts', 1, 'size'), 2.0, 'parts[1].size: expected a whole number, got 2.0'),
        (('parts', 1, 'size'), True, 'parts[1].size: expected a whole number, got true'),
        (('parts', 1, 'size'), 0, 'parts[1]: size must be at least 1, got 0'),
        (('parts', 0, 'value'), 'x', "parts[0].value: expected a finite number or null, got 'x'"),
        (('ends',), [1], 'ends: expected a list of 2, got a list of 1'),
        (('ends', 0), None, 'ends[0]: expected a finite number, got null'),
        (('ends', 0), math.nan, 'ends[0]: expected a finite number, got NaN'),
        (('ends', 0), -math.inf, 'ends[0]: expected a finite number, got -Infinity'),
        (('found', 'x'), [], 'found.x: expected a finite number or null, got a list of 0'),
        (('is_good',), 1, 'is_good: expected true or false, got 1'),
        (('first',), 1, 'first: expected an object or null, got 1'),
        (('first', 'size'), None, 'first.size: expected a whole number, got null'),
        (('id',), None, 'id: expected a whole number or text, got null'),
        (('share',), 1.5, 'share: expected a number from 0 to 1, got 1.5'),
        (('more',), dict(a=[math.nan]), 'more.a[0]: expected a finite number, got NaN'),
    ],
)
def test_an_error_names_file_and_key(place: tuple, value: Any, told: str) -> None:
    content: Any = _content()
    if not place:
        content = value
    else:
        node = content
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = 3 if value == 'DEL' else value
    with pytest.raises(DataError) as caught:
        from_content(Whole, content, 'x.json')
    assert str(caught.value) == f'x.json: {told}'


def test_what_is_nested_too_deeply() -> None:
    more: dict = {}
    for _ in range(900):
        more = dict(a=more)
    content = _content() | dict(more=json.loads(json.dumps(more)))
    with pytest.raises(DataError, match=r'^x.json: lists or objects are nested too deeply$'):
        from_content(Whole, content, 'x.json')


def test_a_missing_key() -> None:
    content = _content()
    del content['parts'][1]['size']
    with pytest.raises(DataError, match=r'^x.json: parts\[1\]: size is missing$'):
        from_content(Whole, content, 'x.json')


def test_long_values_and_keys_are_cut() -> None:
    for change in (dict(found={'k\n' * 999: 'x'}), dict(ends=[10**400, 0])):
        with pytest.raises(DataError) as caught:
            from_content(Whole, _content() | change, 'x.json')
        assert len(str(caught.value)) < 250
        assert '\n' not in str(caught.value)


def test_a_defect_of_a_class_keeps_its_traceback() -> None:
    @dataclass
    class Broken:
        x: int

        def __post_init__(self) -> None:
            raise RuntimeError('a defect')

    with pytest.raises(RuntimeError, match='a defect'):
        from_content(Broken, dict(x=1), '')


@pytest.mark.parametrize(
    'content',
    [b'', b'{"a": ', '{"a": 1}'.encode('utf-16'), b'\xef\xbb\xbf{}', b'\xff', b'[' * 100_000,
     b'1' * 5000],
)  # fmt: skip
def test_files_that_are_not_json(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'x.json').write_bytes(content)
    with pytest.raises(DataError, match=r'x\.json: expected JSON in UTF-8 \(') as caught:
        read_json(tmp_path / 'x.json')
    assert '\n' not in str(caught.value)
