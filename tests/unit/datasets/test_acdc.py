"""ACDC's conditions, splits and photographs by day."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS

pytest.importorskip('mmseg')


@pytest.fixture
def root(tmp_path: Path, make: SimpleNamespace) -> Path:
    make.write_acdc(tmp_path)
    make.write_acdc(tmp_path, split='train', frames=[('GOPR0122', 7)])
    make.write_acdc(tmp_path, split='test', frames=[('GOPR0355', 8)])
    return make.write_acdc(tmp_path, condition='fog', frames=[('GOPR0476', 9)])


def _build(root: Path, **settings: Any) -> Any:
    return DATASETS.build(dict(type='sci_plugins.ACDCDataset', data_root=str(root), **settings))


def _clips(dataset: Any) -> list[str]:
    return [dataset.get_data_info(index)['clip'] for index in range(len(dataset))]


def test_night_by_default(root: Path) -> None:
    assert _clips(_build(root, split='val')) == ['GOPR0351', 'GOPR0351', 'GOPR0356']
    assert _clips(_build(root, split='train')) == ['GOPR0122']


def test_several_conditions_and_splits(root: Path) -> None:
    both = _build(root, split='val', condition=('fog', 'night'))
    assert _clips(both) == ['GOPR0476', 'GOPR0351', 'GOPR0351', 'GOPR0356']
    assert len(_build(root, split=('train', 'val'))) == 4


def test_labels_are_the_files(root: Path, make: SimpleNamespace) -> None:
    from mmseg.datasets.transforms import LoadAnnotations

    label = LoadAnnotations()(_build(root, split='val')[0])['gt_seg_map']
    np.testing.assert_array_equal(label, make.frame(1, 8, make.TRAIN_IDS)[1])


def test_test_has_no_labels(root: Path) -> None:
    assert 'seg_map_path' not in _build(root, split='test').get_data_info(0)


def test_references_are_by_day_and_without_labels(root: Path, make: SimpleNamespace) -> None:
    dataset = _build(root, split='val', reference=True)
    assert _clips(dataset) == ['GOPR0351', 'GOPR0351', 'GOPR0356']
    info = dataset.get_data_info(0)
    assert 'val_ref' in info['img_path']
    assert 'seg_map_path' not in info
    image = np.asarray(Image.open(info['img_path']))
    np.testing.assert_array_equal(image, make.frame(4, 8, make.TRAIN_IDS)[0])


def test_classes_and_palette_are_those_of_the_host(root: Path) -> None:
    from mmseg.datasets import CityscapesDataset

    metainfo = _build(root, split='val').metainfo
    assert metainfo['classes'] == CityscapesDataset.METAINFO['classes']
    assert metainfo['palette'] == CityscapesDataset.METAINFO['palette']


def test_wrong_choices(root: Path) -> None:
    with pytest.raises(ConfigError, match=r'split must be .* train, val, test; got None'):
        _build(root)
    with pytest.raises(ConfigError, match=r"condition must be .*; got 'dusk'"):
        _build(root, split='val', condition='dusk')
    with pytest.raises(DataError, match=r'image folder .*rain/val does not exist'):
        _build(root, split='val', condition='rain')
