"""Going on from files that were damaged or edited: made anew, or refused in one line."""

import copy
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from sci_plugins.apis.compare import changed, compare, session
from sci_plugins.apis.compare.measuring import RecordStore
from sci_plugins.errors import ConfigError, DataError, SciPluginsError
from sci_plugins.evaluation.comparison import Comparison, read_comparison
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.records import ImageRecords
from sci_plugins.utils.images import read_sheet
from sci_plugins.visualization.report import render_report, tell_comparison

NAMES = ['none', 'gamma/0.3', 'clahe']


def _finish(source: tuple[Config, str], folder: Path) -> Path:
    compare(*source, NAMES, work_dir=folder, pictures=2, changed=1, resamples=50)
    return folder


@pytest.fixture(scope='module')
def finished(seg: tuple[Config, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finish(seg, tmp_path_factory.mktemp('finished'))


@pytest.fixture(scope='module')
def finished_det(det: tuple[Config, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _finish(det, tmp_path_factory.mktemp('finished_det'))


@pytest.fixture()
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / 'copy'))


@pytest.fixture()
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of the log."""
    lines: list[str] = []
    for module in (session, changed):
        monkeypatch.setattr(module, 'print_log', lambda line, **_: lines.append(line))
    return lines


def _resume(seg: tuple[Config, str], folder: Path, names: list[str] = NAMES) -> Comparison:
    return compare(*seg, names, work_dir=folder, pictures=2, changed=1, resamples=50, resume=True)


# comparison.json

#: In place of a value; ``del`` stands for a missing key.
BAD = (
    None, True, -1, 0, 3.5, 10**400, 1e308, 1e-320, float('nan'), float('inf'), 'x', '', 'a\0b',
    '\ud800', 'x' * 10_000, [], [[]], [None], {}, dict(a={}), 'del',
)  # fmt: skip


def _places(node: Any, place: tuple = ()) -> Iterator[tuple]:
    yield place
    pairs = dict(enumerate(node)) if isinstance(node, list) else node
    for key, value in pairs.items() if isinstance(pairs, dict) else ():
        yield from _places(value, (*place, key))


def _edited(content: Any, place: tuple, value: Any) -> Any:
    if not place:
        return value
    content = node = copy.deepcopy(content)
    for key in place[:-1]:
        node = node[key]
    if value == 'del':
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return content


def _refusal(action: Callable[[], Any]) -> str:
    try:
        action()
    except SciPluginsError as error:
        return str(error)
    return ''


def _render(found: Comparison) -> None:
    assert (tell_comparison(found) + render_report(found, {}, [])).encode()
    assert json.loads(found.to_json())


def test_a_comparison_that_was_edited(finished: Path, finished_det: Path, tmp_path: Path) -> None:
    """Each edit renders, or is refused in one line that names file and key."""
    rng, outcomes = random.Random(3), Counter[str]()
    path = tmp_path / 'comparison.json'
    for folder in (finished, finished_det):
        content = json.loads((folder / 'comparison.json').read_text())
        places = list(_places(content))
        for place in rng.sample(places, 60):
            path.write_text(json.dumps(_edited(content, place, rng.choice(BAD))))
            told = _refusal(lambda: _render(read_comparison(path)))
            outcomes['refused' if told else 'read'] += 1
            assert '\n' not in told
            assert len(told) < len(str(path)) + 400
            assert not told or told.startswith(f'{path}: ')
            assert not told or all(str(key) in told for key in place[:1])
    assert outcomes['refused'] > 50
    assert outcomes['read'] > 10


def test_a_comparison_that_was_cut_off(finished: Path, tmp_path: Path) -> None:
    content = (finished / 'comparison.json').read_bytes()
    path = tmp_path / 'comparison.json'
    for end in random.Random(0).sample(range(len(content) - 2), 20):
        path.write_bytes(content[:end])
        with pytest.raises(DataError, match=r'comparison\.json: expected JSON in UTF-8'):
            read_comparison(path)


def test_numbers_that_were_not_defined_stay_so(finished_det: Path) -> None:
    text = (finished_det / 'comparison.json').read_text()
    assert 'null' in text
    found = read_comparison(finished_det / 'comparison.json')
    assert json.loads(found.to_json()) == json.loads(text)


@pytest.mark.parametrize(
    ('place', 'value', 'told'),
    [
        (('results', 2, 'analysis', 'intervals', 'mIoU', 'low'), 'x',
         r"json: results\[2\]\.analysis\.intervals\.mIoU\.low: expected a finite number or null, "
         "got 'x'; leave out --resume$"),
        (('results', 1, 'analysis', 'metric'), 'x', r'results\[1\]\.analysis: metric must be one'),
        (('results', 1, 'analysis', 'values', 'aAcc'), 'del', r"values must have .* lacks 'aAcc'"),
        (('results', 0, 'condition', 'gain'), 3, r'results\[0\]\.condition: gain must be in'),
        (('about', 'config_diff'), [], r'about\.config_diff: expected an object or null'),
        (('results',), 'del', 'results is missing'),
        (('results', 1, 'analysis', 'gained'), [dict(image='y', effect=1)], 'on other images'),
    ],
)  # fmt: skip
def test_an_edited_comparison_is_not_resumed(
    seg: tuple[Config, str], folder: Path, place: tuple, value: Any, told: str
) -> None:
    path = folder / 'comparison.json'
    path.write_text(json.dumps(_edited(json.loads(path.read_text()), place, value)))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=told):
        _resume(seg, folder)
    assert path.read_bytes() == before


def test_a_test_set_that_has_changed_is_not_resumed(
    seg: tuple[Config, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = session.Session.__init__

    def begin(self: Any, work_dir: Path, contenders: Any, images: Any, *rest: Any) -> None:
        images.ids = [*images.ids[:-1], 'another']
        real(self, work_dir, contenders, images, *rest)

    monkeypatch.setattr(session.Session, '__init__', begin)
    with pytest.raises(ConfigError, match='none was measured on other images than the test set'):
        _resume(seg, folder)


# records/CONDITION/VARIANT.npz


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _without_luma(path: Path) -> None:
    with np.load(path) as content:
        arrays = dict(content)
    np.savez(path, **{**arrays, 'mean_luma': np.zeros(2)})


@pytest.mark.parametrize('damage', [_cut, _without_luma, Path.unlink])
def test_damaged_records_are_measured_again(
    seg: tuple[Config, str], folder: Path, measured: list[str], damage: Any, told: list[str]
) -> None:
    before = json.loads((folder / 'comparison.json').read_text())['results']
    path = folder / 'records' / 'as-is' / 'clahe.npz'
    damage(path)
    found = _resume(seg, folder)
    assert measured == ['clahe']
    assert len(ImageRecords.load(path).ids) == 3
    after = json.loads(found.to_json())['results']
    for result in (*before, *after):
        del result['seconds']
    assert after == before
    (line,) = told
    assert line.startswith(f'{path}: is not a file of records')
    assert line.endswith(': clahe is measured again')


@pytest.mark.filterwarnings('ignore')
def test_records_with_anything_in_them(finished: Path, finished_det: Path, tmp_path: Path) -> None:
    """Flipped bits, missing and other arrays: read, or one line; no other error."""
    rng, outcomes = random.Random(5), Counter[str]()
    others = (
        np.array(1), np.array('x'), np.zeros(0), np.array([[1, 2], [3, 4]]), np.array(['a', 'b']),
        np.full(3, np.nan), np.full(3, 10**18), np.full(3, -1), np.zeros((3, 3, 3, 3)),
        np.array([1 + 2j]), np.array(b'x'), np.zeros((2, 2), [('a', 'i4')]),
        np.array(['2020-01-01'], 'M8[D]'),
    )  # fmt: skip
    for folder in (finished, finished_det):
        about = json.loads((folder / 'comparison.json').read_text())['about']
        store = RecordStore(tmp_path, about)
        path = store.path(Condition(), 'none')
        path.parent.mkdir(exist_ok=True)
        source = folder / 'records' / 'as-is' / 'none.npz'
        with np.load(source) as content:
            arrays = dict(content)
        for number in range(120):
            if number % 2:
                data = bytearray(source.read_bytes())
                for _ in range(rng.choice([1, 3, 20])):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                path.write_bytes(data)
            else:
                name = rng.choice(sorted(arrays))
                np.savez(path, **{**arrays, name: rng.choice(others)})
            told = _refusal(partial(store.load, Condition(), 'none'))
            outcomes['refused' if told else 'read'] += 1
            assert '\n' not in told
            assert not told or 'none.npz' in told
    assert outcomes['refused'] > 120
    assert outcomes['read'] > 10


# pictures/


def _cut_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b'')


def _zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize('damage', [_cut_half, _empty, _zeros, Path.unlink])
def test_a_damaged_sheet_is_drawn_again(
    seg: tuple[Config, str], folder: Path, measured: list[str], damage: Any, told: list[str]
) -> None:
    """With the columns of what is not measured again."""
    first, second = sorted((folder / 'pictures' / 'as-is').glob('*.jpg'))
    before, other = first.read_bytes(), second.read_bytes()
    damage(first)
    _resume(seg, folder)
    assert measured == []
    assert first.read_bytes() == before
    assert second.read_bytes() == other
    assert len(told) == (damage is not Path.unlink)
    assert all(str(first) in line and line.endswith(': drawn again') for line in told)

    damage(first)
    _resume(seg, folder, [*NAMES, 'gamma/0.5'])
    assert measured == ['gamma/0.5']
    for path in (first, second):
        assert read_sheet(path)[1] == [*NAMES, 'gamma/0.5']


def test_a_damaged_sheet_of_a_changed_image(seg: tuple[Config, str], folder: Path) -> None:
    path, *_ = sorted((folder / 'pictures' / 'as-is' / 'changed').rglob('*.jpg'))
    before = path.read_bytes()
    _cut_half(path)
    _resume(seg, folder)
    assert path.read_bytes() == before


def test_what_is_no_sheet_is_refused(seg: tuple[Config, str], folder: Path) -> None:
    path, *_ = sorted((folder / 'pictures' / 'as-is').glob('*.jpg'))
    path.write_text('my notes')
    with pytest.raises(DataError, match=r'\.jpg is not a readable sheet'):
        _resume(seg, folder)
    assert path.read_text() == 'my notes'


def test_a_column_that_was_drawn_before_the_run_was_killed(
    seg: tuple[Config, str], folder: Path
) -> None:
    path = folder / 'comparison.json'
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | dict(results=content['results'][:2])))
    sheet, *_ = sorted((folder / 'pictures' / 'as-is').glob('*.jpg'))
    with Image.open(sheet) as image:
        width = image.width
    _resume(seg, folder)
    pixels, columns = read_sheet(sheet)
    assert columns == NAMES
    assert pixels.width == width
