"""A set declared outside the package gets its data set, check and leakage test.

The file is the one in docs/night_segmentation.md.
"""

import re
import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from sci_plugins.apis.prepare_data import check_data
from sci_plugins.datasets.segmentation_check import FRAME, RECORDING
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS

REPOSITORY = Path(__file__).parents[3]
LABEL = 'classes/train/cam1_0001_classes.png'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with ``harbour.py`` and ``data``; yields the latter."""
    text = (REPOSITORY / 'docs/night_segmentation.md').read_text()
    section = text.split('### A night set of your own')[1]
    (tmp_path / 'harbour.py').write_text(re.findall(r'```python\n(.*?)```', section, re.S)[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', list(sys.path))
    for name in ('train/cam1_0001', 'train/cam2_0001', 'test/cam3_0001'):
        _write(tmp_path / 'data', name, np.array([[0, 10], [20, 30]], np.uint8))
    yield tmp_path / 'data'
    sys.modules.pop('harbour', None)
    DATASETS.module_dict.pop('HarbourDataset', None)


def _write(root: Path, name: str, values: np.ndarray) -> None:
    label = values.repeat(12, axis=0).repeat(24, axis=1)
    image = np.random.default_rng(len(list(root.rglob('*')))).integers(0, 255, (24, 48, 3))
    for path, array in (
        (root / f'photos/{name}_photo.jpg', image.astype(np.uint8)),
        (root / f'classes/{name}_classes.png', label),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def _build(root: Path, **settings: Any) -> Any:
    pytest.importorskip('mmseg')
    sys.path.insert(0, str(root.parent))
    import_module('harbour')
    cfg = dict(type='sci_plugins.HarbourDataset', data_root=str(root), split='train')
    load = [dict(type='mmseg.LoadImageFromFile'), dict(type='mmseg.LoadAnnotations')]
    return DATASETS.build(dict(cfg, pipeline=load, **settings))


def test_data_set(root: Path) -> None:
    dataset = _build(root)
    assert [dataset.get_data_info(index)['clip'] for index in (0, 1)] == ['cam1', 'cam2']
    assert dataset.metainfo['classes'] == ('water', 'quay', 'ship')
    assert dataset.metainfo['palette'][2] == [220, 20, 60]
    assert dataset.metainfo['label_map'] == {0: 255, 1: 254, 2: 254, 10: 0, 20: 1, 30: 2}
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == [0, 1, 2, 255]
    subset = _build(root, metainfo=dict(classes=('ship',)))
    assert np.unique(subset[0]['gt_seg_map']).tolist() == [0, 255]
    _write(root, 'train/cam1_0001', np.array([[15]], np.uint8).repeat(2, 0).repeat(2, 1))
    with pytest.raises(DataError, match=r'cam1_0001_classes\.png: .*got 15'):
        dataset[0]
    # 1 is no value of this set, but would pass for the class of this index.
    _write(root, 'train/cam1_0001', np.array([[1]], np.uint8).repeat(2, 0).repeat(2, 1))
    with pytest.raises(DataError, match=r'cam1_0001_classes\.png: .*a value that no class has'):
        dataset[0]
    with pytest.raises(ConfigError, match=r'Harbour: split must be .* train, test; got None'):
        DATASETS.build(dict(type='sci_plugins.HarbourDataset', data_root=str(root)))


def test_a_subclass_may_have_metainfo_of_its_own(root: Path) -> None:
    layout = _build(root).LAYOUT

    class Renamed(type(_build(root))):  # type: ignore[misc]
        LAYOUT = layout
        METAINFO: ClassVar[dict] = dict(classes=('sea', 'pier', 'boat'))

    assert Renamed(data_root=str(root), split='test').metainfo['classes'] == ('sea', 'pier', 'boat')


def test_check(root: Path) -> None:
    report = check_data('harbour.HARBOUR', root)
    assert report.problems == []
    rows = report.tables['label values of train']
    assert [(row['value'], row['class']) for row in rows] == [
        (10, 'water'),
        (20, 'quay'),
        (30, 'ship'),
        (0, 'ignored'),
    ]
    Image.new('L', (48, 24), 40).save(root / LABEL)
    (error,) = check_data('harbour.HARBOUR', root).errors
    assert f'{LABEL}: contains 40 (1152 pixels); expected 0, 10, 20, 30' in error.text


def test_leakage(root: Path, tmp_path: Path) -> None:
    _write(root, 'train/cam3_0002', np.array([[0, 10], [20, 30]], np.uint8))
    own = check_data('harbour.HARBOUR', root)
    assert [each.kind for each in own.problems] == ['other number of images', RECORDING]
    other = tmp_path / 'mine/cam3_0001.png'
    other.parent.mkdir()
    Image.new('RGB', (4, 4)).save(other)
    report = check_data('harbour.HARBOUR', root, against=[other.parent])
    assert [each.kind for each in report.errors] == [FRAME]


def test_the_tool_takes_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for name, code, words in (
        ('harbour.HARBOUR', 0, 'usable for training'),
        ('harbour.HARBOR', 2, 'cannot load the data set harbour.HARBOR: '),
        ('harbor.HARBOUR', 2, 'cannot load the data set harbor.HARBOUR: '),
        ('os.path', 2, 'os.path: expected a NightLayout, got module'),
    ):
        monkeypatch.setattr(sys, 'argv', ['prepare_data.py', name, str(root)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(REPOSITORY / 'tools/prepare_data.py'), run_name='__main__')
        told = capsys.readouterr()
        assert end.value.code == code, told.err
        assert words in told.out + told.err
