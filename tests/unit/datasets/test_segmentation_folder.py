"""What all segmentation sets do alike, by ACDC's layout."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sci_plugins.errors import DataError
from sci_plugins.registry import DATASETS

pytest.importorskip('mmseg')

PIPELINE = [
    dict(type='mmseg.LoadImageFromFile'),
    dict(type='mmseg.LoadAnnotations'),
    dict(type='mmseg.PackSegInputs'),
]
LABEL = 'gt/night/val/GOPR0351/GOPR0351_frame_000001_gt_labelTrainIds.png'
IMAGE = 'rgb_anon/night/val/GOPR0351/GOPR0351_frame_000001_rgb_anon.png'


@pytest.fixture
def root(tmp_path: Path, make: SimpleNamespace) -> Path:
    return make.write_acdc(tmp_path)


def _build(root: Path, **settings: Any) -> Any:
    cfg = dict(type='sci_plugins.ACDCDataset', data_root=str(root), split='val')
    return DATASETS.build(cfg | dict(pipeline=PIPELINE[1:]) | settings)


def _names(dataset: Any) -> list[str]:
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [Path(info['img_path']).name[:21] for info in infos]


def test_order_is_that_of_the_paths(root: Path) -> None:
    frames = ['GOPR0351_frame_000001', 'GOPR0351_frame_000002', 'GOPR0356_frame_000324']
    assert _names(_build(root)) == frames


@pytest.mark.parametrize('end', ['', '_rgb_anon.png'])
def test_a_list_chooses_images(root: Path, end: str) -> None:
    path = root / 'some.txt'
    path.write_text(f'\nGOPR0356/GOPR0356_frame_000324{end}\r\n')
    (root / IMAGE).unlink()  # not asked for, so not missed
    assert _names(_build(root, ann_file='some.txt')) == ['GOPR0356_frame_000324']


def test_a_listed_image_must_be_there(root: Path) -> None:
    (root / 'some.txt').write_text('GOPR0356/GOPR0356_frame_000324\nGOPR0356/none\n')
    with pytest.raises(DataError, match=r'found no GOPR0356/none of .*some\.txt below'):
        _build(root, ann_file='some.txt')
    (root / 'some.txt').write_text('\n')
    with pytest.raises(DataError, match=r'the list .*some\.txt is empty'):
        _build(root, ann_file='some.txt')
    with pytest.raises(DataError, match=r'other\.txt: there is no such list'):
        _build(root, ann_file='other.txt')


def test_folders_may_be_named_as_everywhere_in_mmseg(root: Path) -> None:
    prefix = dict(img_path='rgb_anon/night/val', seg_map_path='gt/night/val')
    assert len(_build(root, split=None, data_prefix=prefix)) == 3
    unlabelled = _build(root, data_prefix=dict(img_path='rgb_anon/night/val'))
    assert 'seg_map_path' not in unlabelled.get_data_info(0)


def test_lazy_as_in_mmengine(root: Path) -> None:
    dataset = _build(root, lazy_init=True)
    assert not dataset._fully_initialized
    assert len(dataset) == 3


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (lambda r: (r / LABEL).unlink(), r'000001_rgb_anon\.png: has no label map .*1 of'),
        (lambda r: (r / IMAGE).unlink(), r'000001_gt_labelTrainIds\.png: has no image'),
        (lambda r: (r / 'rgb_anon/night/val').rename(r / 'x'), 'image folder .* does not exist'),
    ],
)
def test_missing_counterparts(root: Path, damage: Callable, words: str) -> None:
    damage(root)
    with pytest.raises(DataError, match=words):
        _build(root)


def test_an_empty_folder(root: Path) -> None:
    with pytest.raises(DataError, match=r'ACDC: no \*\.jpg below .*night/val'):
        _build(root, img_suffix='.jpg', data_prefix=dict(img_path='rgb_anon/night/val'))


def _save(root: Path, label: np.ndarray) -> None:
    Image.fromarray(label).save(root / LABEL)


@pytest.mark.parametrize(
    ('label', 'words'),
    [
        (np.zeros((24, 48, 3), np.uint8), 'TrainIds.png: expected one channel'),
        (np.zeros((12, 48), np.uint8), 'TrainIds.png: is 48x12, its image .* is 48x24'),
        (np.full((24, 48), 33, np.uint8), 'TrainIds.png: expected classes 0 to 18 or 255 .*got 33'),
    ],
)
def test_labels_that_do_not_fit_are_named_as_they_load(
    root: Path, label: np.ndarray, words: str
) -> None:
    _save(root, label)
    dataset = _build(root, pipeline=PIPELINE)
    assert dataset[1]['inputs'].shape == (3, 24, 48)
    with pytest.raises(DataError, match=words):
        dataset[0]


def test_the_check_follows_a_choice_of_classes(root: Path) -> None:
    classes = ('road', 'sky')
    dataset = _build(root, pipeline=PIPELINE, metainfo=dict(classes=classes))
    truth = dataset[0]['data_samples'].gt_sem_seg.data
    assert set(truth.unique().tolist()) == {0, 1, 255}
    _save(root, np.full((24, 48), 19, np.uint8))
    with pytest.raises(DataError, match=r'expected classes 0 to 1 or 255 .*got 19'):
        dataset[0]
