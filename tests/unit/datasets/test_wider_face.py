"""WIDER FACE's text through mmdet's base class."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.registry import DATASETS
from sci_plugins.utils.images import write_image

pytest.importorskip('mmdet')
# x y w h blur expression illumination invalid occlusion pose
FACES = [
    '1 2 9 8 0 0 0 0 0 0',
    '2 2 9 8 0 0 0 1 0 0',
    '3 2 0 8 0 0 0 0 0 0',
    '4 2 9 8 2 0 0 0 0 0',
    '5 2 9 8 0 0 0 0 1 0',
]
NAMES = ('0--Parade/a', '1--Handshaking/b', '2--Riot/c')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One image with a face of each sort, one without faces, one with an invalid one."""
    for name in NAMES:
        path = tmp_path / f'WIDER_train/images/{name}.jpg'
        path.parent.mkdir(parents=True)
        write_image(path, np.zeros((20, 30, 3), np.uint8))
    blocks = [FACES, ['0 0 0 0 0 0 0 0 0 0'], FACES[1:2]]
    lines = []
    for name, count, faces in zip(NAMES, (5, 0, 1), blocks, strict=True):
        lines += [f'{name}.jpg', str(count), *faces]
    (tmp_path / 'gt.txt').write_text('\n'.join(lines) + '\n')
    return tmp_path


def _build(root: Path, **settings: Any) -> Any:
    cfg = dict(
        type='sci_plugins.WiderFaceTextDataset',
        data_root=str(root),
        ann_file='gt.txt',
        data_prefix=dict(img='WIDER_train/images'),
        # Serializing collects garbage, which takes most of a test's time.
        serialize_data=False,
    )
    return DATASETS.build(cfg | settings)


def _flags(root: Path, **settings: Any) -> list[int]:
    instances = _build(root, **settings).get_data_info(0)['instances']
    return [instance['ignore_flag'] for instance in instances]


def test_arguments_by_position(root: Path) -> None:
    """In MMEngine's order."""
    kind = type(_build(root))
    folders = dict(img='WIDER_train/images')
    given = kind('gt.txt', None, str(root), folders, serialize_data=False)
    assert given.get_data_info(0) == _build(root).get_data_info(0)


def test_records_are_what_mmdet_expects(root: Path) -> None:
    dataset = _build(root)
    records = [dataset.get_data_info(index) for index in range(len(dataset))]
    assert tuple(record['img_id'] for record in records) == NAMES
    assert records[0]['img_path'] == str(root / 'WIDER_train/images/0--Parade/a.jpg')
    assert (records[0]['width'], records[0]['height']) == (30, 20)
    assert records[0]['instances'][0] == dict(bbox=[1, 2, 10, 10], bbox_label=0, ignore_flag=0)
    assert records[1]['instances'] == []
    assert dataset.metainfo['classes'] == ('face',)


def test_invalid_and_empty_faces_are_ignored(root: Path) -> None:
    assert _flags(root) == [0, 1, 1, 0, 0]


def test_blurred_and_occluded_ones_on_demand(root: Path) -> None:
    assert _flags(root, max_blur=1) == [0, 1, 1, 1, 0]
    assert _flags(root, max_occlusion=0) == [0, 1, 1, 0, 1]


def test_images_without_a_face_that_counts_are_filtered(root: Path) -> None:
    settings: dict = dict(filter_cfg=dict(filter_empty_gt=True))
    assert len(_build(root, **settings)) == 1
    assert len(_build(root, test_mode=True, **settings)) == 3
    assert len(_build(root)) == 3


def test_ignored_faces_reach_the_detector_as_such(root: Path) -> None:
    pipeline = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id',)),
    ]
    sample = _build(root, pipeline=pipeline)[0]['data_samples']
    assert len(sample.gt_instances) == 3
    assert len(sample.ignored_instances) == 2


@pytest.mark.parametrize('name', ['max_blur', 'max_occlusion'])
def test_limits_out_of_range(root: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f'{name} must be 0, 1 or 2, got 3'):
        _build(root, **{name: 3})


def test_what_is_missing_is_named(root: Path) -> None:
    (root / 'WIDER_train/images/1--Handshaking/b.jpg').unlink()
    with pytest.raises(DataError, match=r'1--Handshaking/b.jpg: there is no such image'):
        _build(root)
    with pytest.raises(DataError, match=r'folder .*WIDER_val does not exist'):
        _build(root, data_prefix=dict(img='WIDER_val'))
    with pytest.raises(DataError, match=r'none.txt: there is no such annotation file'):
        _build(root, ann_file='none.txt')
