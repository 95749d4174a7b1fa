"""Making the data: layouts, once, complete or not at all."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.datasets.darkface import read_upright_boxes
from sci_plugins.demo import CONDITIONS, demo_folder, prepare, prepare_demo
from sci_plugins.errors import ConfigError
from sci_plugins.functional.low_light import darken

pytest.importorskip('skimage')

KINDS = ('', '_dark', '_very_dark', '_noisy')
COUNTS = dict(faces_train=1, faces_test=2, streets_train=1, streets_test=1)


def _make(root: Path, splits: tuple[str, ...] = ('test',)) -> Path:
    return prepare_demo(root, splits, COUNTS, progress=False)


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob('*') if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp('demo'), ('train', 'test'))


def test_layouts(made: Path) -> None:
    street = 'demo/demo_000001_leftImg8bit.png'
    label = 'demo/demo_000001_gtFine_labelTrainIds.png'
    assert sorted(_hashes(made)) == sorted(
        [
            *(f'faces_{split}/demo.json' for split in ('train', 'test')),
            *(f'streets_{split}/demo.json' for split in ('train', 'test')),
            *('faces_train/image/1.png', 'faces_train/label/1.txt'),
            *(f'faces_test/image{kind}/{number}.png' for kind in KINDS
              for number in (1, 2)),
            *(f'faces_test/label/{number}.txt' for number in (1, 2)),
            *(f'streets_train/leftImg8bit/train/{street}',
              f'streets_train/gtFine/train/{label}'),
            *(f'streets_test/leftImg8bit/test{kind}/{street}'
              for kind in KINDS),
            f'streets_test/gtFine/test/{label}',
        ]
    )  # fmt: skip


def test_the_same_version_draws_the_same_files(made: Path, tmp_path: Path) -> None:
    again = _hashes(_make(tmp_path))
    wanted = {key: value for key, value in _hashes(made).items() if '_test/' in key}
    assert again == wanted


def test_splits_and_numbers_differ(made: Path) -> None:
    """Also in what does not depend on the photographs: the boxes, the streets."""
    names = ('faces_train/label/1', 'faces_test/label/1', 'faces_test/label/2')
    boxes = [read_upright_boxes(made / f'{name}.txt') for name in names]
    assert boxes[0] != boxes[1] != boxes[2]
    streets = [
        _read(next((made / f'streets_{split}/gtFine').rglob('*.png')))
        for split in ('train', 'test')
    ]
    assert not np.array_equal(*streets)


def test_labels_belong_to_the_images(made: Path) -> None:
    assert len(read_upright_boxes(made / 'faces_test/label/1.txt')) >= 2
    labels = _read(made / 'streets_test/gtFine/test/demo' /
                   'demo_000001_gtFine_labelTrainIds.png')  # fmt: skip
    assert labels.shape == (192, 384)
    assert labels.max() < 8


def test_dark_faces_are_the_same_scene_with_less_light(made: Path) -> None:
    bright, dark, noisy = (
        _read(made / f'faces_test/image{kind}/1.png') for kind in ('', '_dark', '_noisy')
    )
    clean = darken(bright, 0.05).astype(float)
    # Away from black, where clipping lifts the mean, the noise averages out; of what is
    # white already, the light is unknown.
    lit = (clean > 40) & (bright < 250)
    assert lit.sum() > 1000
    errors = [np.abs(taken - clean)[lit] for taken in (dark, noisy)]
    assert 0 < errors[0].mean() < 4
    assert errors[1].mean() > 2 * errors[0].mean()


@pytest.mark.parametrize(
    'path',
    ['faces_test/image{}/1.png',
     'streets_test/leftImg8bit/test{}/demo/demo_000001_leftImg8bit.png'],
    ids=['faces', 'streets'],
)  # fmt: skip
def test_lamps_stay_white_in_the_dark(made: Path, path: str) -> None:
    bright, dark = (_read(made / path.format(kind)) for kind in ('', '_dark'))
    assert dark.mean() < 0.4 * bright.mean()
    assert dark.max() > 230


def test_a_second_call_draws_nothing(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail('drawn again')

    monkeypatch.setattr(prepare, 'draw_face_scene', fail)
    monkeypatch.setattr(prepare, 'draw_street', fail)
    before = {path: path.stat().st_mtime_ns for path in made.rglob('*')}
    assert _make(made, ('train', 'test')) == made
    assert {path: path.stat().st_mtime_ns for path in made.rglob('*')} == before


def test_an_interrupted_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, calls = prepare.draw_face_scene, []

    def interrupt(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, 'draw_face_scene', interrupt)
    with pytest.raises(KeyboardInterrupt):
        _make(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process puts the folder in place while this one still draws."""
    draw = prepare.draw_street

    def be_late(*arguments: object) -> object:
        monkeypatch.setattr(prepare, 'draw_street', draw)
        _make(tmp_path)
        return draw(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepare, 'draw_street', be_late)
    _make(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['faces_test', 'streets_test']


def test_a_folder_that_cannot_be_put_in_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'faces_test').write_text('a file of that name')
    with pytest.raises(OSError, match='faces_test'):
        _make(tmp_path)


def test_the_stamp_says_what_was_made(made: Path) -> None:
    stamp = json.loads((made / 'faces_test/demo.json').read_text())
    assert stamp['version'] == prepare.VERSION
    assert stamp['images'] == 2
    assert stamp['conditions']['noisy'] == CONDITIONS['noisy']._asdict()


def test_the_default_place_is_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SCI_PLUGINS_CACHE', str(tmp_path))
    assert demo_folder() == tmp_path / 'demo' / f'v{prepare.VERSION}'
    assert prepare_demo(splits=()) == demo_folder()


@pytest.mark.parametrize(
    ('splits', 'counts', 'name'),
    [(('val',), {}, 'val'), (('test',), dict(face_test=1), 'face_test')],
)
def test_unknown_names_are_refused(
    tmp_path: Path, splits: tuple[str, ...], counts: dict, name: str
) -> None:
    with pytest.raises(ConfigError, match=f'got {name}'):
        prepare_demo(tmp_path, splits, counts)
