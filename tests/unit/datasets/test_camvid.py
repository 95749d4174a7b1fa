"""CamVid: the choice of sequences, and void that counts nowhere."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import init_default_scope

from sci_plugins.datasets.camvid import CamVidDataset
from sci_plugins.errors import DataError

FRAMES = ('0001TP_000010', '0006R0_f00010', '0006R0_f00020', '0016E5_00010')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four frames of 12x6; label columns hold 0 to 11 in this order."""
    label = np.tile(np.arange(12, dtype=np.uint8), (6, 1))
    for folder in ('train', 'trainannot'):
        (tmp_path / folder).mkdir()
    for name in FRAMES:
        image = np.full((6, 12, 3), 90, np.uint8)
        cv2.imwrite(str(tmp_path / 'train' / f'{name}.jpg'), image)
        cv2.imwrite(str(tmp_path / 'trainannot' / f'{name}.png'), label)
    return tmp_path


def build(root: Path, **options: Any) -> CamVidDataset:
    cfg = dict(
        type='sci_plugins.CamVidDataset',
        data_root=str(root),
        data_prefix=dict(img_path='train', seg_map_path='trainannot'),
    )
    return ROOT_DATASETS.build({**cfg, **options})


def names(dataset: CamVidDataset) -> list[str]:
    return [Path(info['img_path']).stem for info in dataset]


def load_label(dataset: CamVidDataset) -> np.ndarray:
    from mmseg.datasets.transforms import LoadAnnotations

    return LoadAnnotations()(dataset[0])['gt_seg_map']


@pytest.mark.parametrize(
    ('options', 'wanted'),
    [
        (dict(), FRAMES),
        (dict(exclude_prefix='0001TP'), FRAMES[1:]),
        (dict(include_prefix='0001TP'), FRAMES[:1]),
        (dict(include_prefix=['0001TP', '0016E5']), (FRAMES[0], FRAMES[3])),
        (dict(exclude_prefix=('0001TP', '0016E5')), FRAMES[1:3]),
        (dict(include_prefix='0006R0', exclude_prefix='0006R0_f00010'), FRAMES[2:3]),
        (dict(include_prefix=None, exclude_prefix=None), FRAMES),
    ],
)
def test_sequences_are_chosen_by_prefix(root: Path, options: dict, wanted: tuple[str, ...]) -> None:
    assert names(build(root, **options)) == list(wanted)


def test_void_becomes_the_ignored_label(root: Path) -> None:
    dataset = build(root)
    assert load_label(dataset)[0].tolist() == [*range(11), 255]
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11


def test_choice_of_classes_keeps_void_ignored(root: Path) -> None:
    dataset = build(root, metainfo=dict(classes=('road', 'sky')))
    label = load_label(dataset)[0].tolist()
    assert label == [1, 255, 255, 0, *[255] * 8]
    assert len(dataset.metainfo['palette']) == 2


def test_host_metric_leaves_void_out(root: Path) -> None:
    """Right everywhere but on void is an mIoU of 100."""
    import torch
    from mmseg.evaluation import IoUMetric

    init_default_scope('mmseg')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
    dataset = build(root, pipeline=pipeline, test_mode=True)
    metric = IoUMetric()
    metric.dataset_meta = dataset.metainfo
    sample = dataset[0]['data_samples'].to_dict()
    guess = torch.arange(12).clamp(max=10).repeat(1, 6, 1)
    sample['pred_sem_seg'] = dict(data=guess)
    metric.process({}, [sample])
    assert metric.evaluate(1)['mIoU'] == pytest.approx(100)


def test_missing_folder_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r'image folder .*test does not exist'):
        build(root, data_prefix=dict(img_path='test', seg_map_path='testannot'))


def test_choice_that_leaves_nothing_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r'no \.jpg frame .*0099XX'):
        build(root, include_prefix='0099XX')


def test_frame_without_label_is_named(root: Path) -> None:
    (root / 'trainannot' / '0006R0_f00020.png').unlink()
    with pytest.raises(DataError, match=r'0006R0_f00020\.jpg: has no label map .*20.png'):
        build(root)
    assert len(build(root, exclude_prefix='0006R0')) == 2


def test_label_without_frame_is_named(root: Path) -> None:
    (root / 'train' / '0006R0_f00020.jpg').unlink()
    with pytest.raises(DataError, match=r'0006R0_f00020\.png: has no image .*1 such'):
        build(root)


def test_clips_are_the_sequences(root: Path) -> None:
    clips = [build(root).get_data_info(index)['clip'] for index in range(4)]
    assert clips == ['0001TP', '0006R0', '0006R0', '0016E5']


def test_real_sequences(shared_data: Path) -> None:
    root = shared_data / 'data' / 'camvid'
    by_day = build(root, exclude_prefix='0001TP')
    dusk = build(root, include_prefix='0001TP')
    val = build(root, data_prefix=dict(img_path='val', seg_map_path='valannot'))
    assert (len(by_day), len(dusk), len(val)) == (305, 62, 101)
    assert not set(names(by_day)) & set(names(val))
    clips = {by_day.get_data_info(index)['clip'] for index in range(305)}
    assert clips == {'0006R0', '0016E5'}
    labels = np.unique(load_label(dusk))
    assert set(labels.tolist()) <= {*range(11), 255}
