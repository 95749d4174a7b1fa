"""Cityscapes' layout through mmseg's base class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sci_plugins.demo.streets import STREET_CLASSES, STREET_PALETTE
from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import write_image

pytest.importorskip('mmseg')

LABELS = np.array([[0, 1, 2, 3], [4, 5, 6, 7], [255, 255, 0, 0]], np.uint8)
PREFIX = dict(img_path='leftImg8bit/test', seg_map_path='gtFine/test')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames of two cities."""
    for city, name in (('b', 'b_000001'), ('a', 'a_000000')):
        images = tmp_path / 'leftImg8bit/test' / city
        labels = tmp_path / 'gtFine/test' / city
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        picture = np.full((3, 4, 3), 9, np.uint8)
        write_image(images / f'{name}_leftImg8bit.png', picture)
        write_image(labels / f'{name}_gtFine_labelTrainIds.png', LABELS)
    return tmp_path


def _build(root: Path, **settings: Any) -> Any:
    cfg = dict(type='sci_plugins.NightStreetDataset', data_root=str(root))
    return DATASETS.build(dict(cfg, data_prefix=PREFIX, **settings))


def _labels(dataset: Any) -> np.ndarray:
    from mmseg.datasets.transforms import LoadAnnotations

    return LoadAnnotations()(dataset.get_data_info(0))['gt_seg_map']


def test_images_and_labels_of_all_cities_are_found(root: Path) -> None:
    dataset = _build(root)
    assert len(dataset) == 2
    record = dataset.get_data_info(0)
    assert record['img_path'].endswith('a/a_000000_leftImg8bit.png')
    assert record['seg_map_path'].endswith('a/a_000000_gtFine_labelTrainIds.png')
    np.testing.assert_array_equal(_labels(dataset), LABELS)
    assert dataset.metainfo['classes'] == STREET_CLASSES
    assert [tuple(colour) for colour in dataset.metainfo['palette']] == [*STREET_PALETTE]


def test_classes_may_be_a_subset(root: Path) -> None:
    dataset = _build(root, metainfo=dict(classes=('car', 'road')))
    wanted = np.full_like(LABELS, 255)
    wanted[STREET_CLASSES.index('car') == LABELS] = 0
    wanted[STREET_CLASSES.index('road') == LABELS] = 1
    np.testing.assert_array_equal(_labels(dataset), wanted)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'image folder .*leftImg8bit.* does not exist'):
        _build(tmp_path)


def test_no_image(root: Path) -> None:
    with pytest.raises(DataError, match=r'no \*.jpg below'):
        _build(root, img_suffix='.jpg')


def test_missing_label(root: Path) -> None:
    (root / 'gtFine/test/b/b_000001_gtFine_labelTrainIds.png').unlink()
    with pytest.raises(DataError, match=r'b_000001_.*has no label map .*png \(1 of 2'):
        _build(root)
