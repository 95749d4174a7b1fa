"""Time of day from label files of every release, without holding them in memory."""

import json
from pathlib import Path
from typing import Any

import pytest

from sci_plugins.datasets import bdd100k_night as bdd100k_attributes
from sci_plugins.datasets.bdd100k_night import find_sources, iterate_frames, read_times_of_day
from sci_plugins.errors import DataError


def _entry(name: str, time: str | None = 'night') -> dict:
    return dict(name=f'{name}.jpg', attributes=dict(timeofday=time), labels=[dict(a=[1])])


def _write(path: Path, content: Any, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, **how))
    return path


@pytest.mark.parametrize('indent', [None, 2])
@pytest.mark.parametrize('chunk', [1, 7, 1 << 22])
@pytest.mark.parametrize('wrapped', [False, True])
def test_entries_come_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, chunk: int, wrapped: bool
) -> None:
    entries = [_entry(str(number)) for number in range(20)]
    if wrapped and chunk < 1 << 22:
        chunk = 40  # the key must be in the first piece
    monkeypatch.setattr(bdd100k_attributes, '_CHUNK', max(chunk, 2))
    content = dict(frames=entries, config=None) if wrapped else entries
    path = _write(tmp_path / 'a.json', content, indent=indent)
    assert list(iterate_frames(path)) == entries


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'expected a list of images'),
        ('{"images": []}', 'expected a list of images or an object with "frames"'),
        ('[{"name": "a"}, {"na', 'is truncated'),
        ('[{"name": "a"}', 'is truncated'),
        ('[{"name": nothing}]', 'is truncated or not JSON'),
        (f'[{{"name": {"1" * 5000}}}]', 'cannot be read'),
        ('[' * 100_000, 'cannot be read'),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / 'a.json').write_text(text)
    with pytest.raises(DataError, match=f'a.json: {words}'):
        list(iterate_frames(tmp_path / 'a.json'))


def test_a_file_of_one_image_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path / 'train/1.json', _entry('1'))

    def fail(path: Path, **_: Any) -> str:
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(Path, 'read_text', fail)
    with pytest.raises(DataError, match=r'train/1.json: cannot be read .*Input/output error'):
        read_times_of_day([tmp_path / 'train'], {'1'})


def test_entries_without_name_or_time(tmp_path: Path) -> None:
    path = _write(tmp_path / 'a.json', [_entry('1', None), dict(name='2.jpg')])
    assert read_times_of_day([path], {'1', '2'}) == {}
    path = _write(tmp_path / 'a.json', [dict(attributes=None)])
    with pytest.raises(DataError, match='an entry has no name'):
        read_times_of_day([path], {'1'})


def test_files_and_folders_of_all_splits(tmp_path: Path) -> None:
    _write(tmp_path / 'labels/det_20/det_val.json', [_entry('1'), _entry('x')])
    _write(tmp_path / 'labels/100k/train/2.json', _entry('2', 'daytime'))
    sources = find_sources(tmp_path)
    assert [each.name for each in sources] == ['det_val.json', 'train']
    times = read_times_of_day(sources, {'1', '2', '3'})
    assert times == {'1': 'night', '2': 'daytime'}


def test_nothing_is_read_once_all_are_found(tmp_path: Path) -> None:
    first = _write(tmp_path / 'a.json', [_entry('1'), _entry('2')])
    first.write_text(first.read_text()[:-1] + ', broken')
    assert read_times_of_day([first, tmp_path / 'none'], {'1', '2'}).keys() == {'1', '2'}


def test_sources_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'has none of labels/det_20.*ann_file'):
        find_sources(tmp_path)
    with pytest.raises(DataError, match=r'mine\.json: there is no such label file'):
        find_sources(tmp_path, 'mine.json')
    _write(tmp_path / 'mine.json', [])
    assert find_sources(tmp_path, ['mine.json']) == [tmp_path / 'mine.json']
