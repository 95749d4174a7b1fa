"""Faces in COCO format: the split, the ignore size, and what mmdet scores."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.registry import DATASETS as ROOT_DATASETS
from mmengine.registry import init_default_scope

from sci_plugins.datasets.coco_face import CocoFaceDataset, hashed_split
from sci_plugins.errors import ConfigError, DataError

#: width and height of the two faces of each image: sqrt(area) is 12 and 6 px
SIZES = ((9, 16), (6, 6))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """40 images of two faces each, in COCO format."""
    images, annotations = [], []
    (tmp_path / 'images').mkdir()
    for number in range(1, 41):
        name = f'face{number}.png'
        images.append(dict(id=number, file_name=name, width=64, height=48))
        for place, (width, height) in enumerate(SIZES):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=1,
                    bbox=[4 + 30 * place, 4, width, height],
                    area=width * height,
                    iscrowd=0,
                )
            )
    write(tmp_path, images=images, annotations=annotations)
    return tmp_path


def write(root: Path, category: str = 'face', **content: Any) -> None:
    content['categories'] = [dict(id=1, name=category)]
    (root / 'coco.json').write_text(json.dumps(content))


def build(root: Path, **options: Any) -> CocoFaceDataset:
    cfg = dict(
        type='sci_plugins.CocoFaceDataset',
        data_root=str(root),
        ann_file='coco.json',
        data_prefix=dict(img='images/'),
        **options,
    )
    return ROOT_DATASETS.build(cfg)


def names(dataset: CocoFaceDataset) -> set[str]:
    return {Path(info['img_path']).name for info in dataset}


def test_train_and_test_are_a_partition(root: Path) -> None:
    train, test = (names(build(root, split=split)) for split in ('train', 'test'))
    assert train | test == names(build(root))
    assert not train & test
    assert train
    assert test


def test_split_of_an_image_depends_on_its_name_alone(root: Path) -> None:
    before = names(build(root, split='test'))
    content = json.loads((root / 'coco.json').read_text())
    kept = content['images'][::-1][5:]
    for number, image in enumerate(kept):
        image['id'] = 1000 + number
    write(root, images=kept, annotations=[])
    left = {image['file_name'] for image in kept}
    assert names(build(root, split='test')) == before & left


def test_hashed_split_is_the_documented_one() -> None:
    # First four bytes of sha256, computed with the system's sha256sum:
    # maksssksksss0 -> 896d3de0, which is 0.5368 of 2**32.
    assert hashed_split('maksssksksss0.jpg', 0.536) == 'train'
    assert hashed_split('some/folder/maksssksksss0.png', 0.537) == 'test'


def test_hashed_split_takes_about_the_fraction_asked_for() -> None:
    taken = sum(hashed_split(f'{number}.jpg', 0.2) == 'test' for number in range(5000))
    assert taken == pytest.approx(1000, abs=4 * np.sqrt(5000 * 0.2 * 0.8))


def test_min_size_ignores_by_the_root_of_the_area(root: Path) -> None:
    # 9x16 has a side above and below 11 and 12 px; its root is 12 exactly.
    for min_size, flags in ((0, [0, 0]), (8, [0, 1]), (12, [0, 1]), (12.1, [1, 1])):
        info = build(root, min_size=min_size)[0]
        assert [face['ignore_flag'] for face in info['instances']] == flags


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(split='val'), "split must be one of .* got 'val'"),
        (dict(test_fraction=0), 'test_fraction must be in'),
        (dict(test_fraction=1), 'test_fraction must be in'),
        (dict(min_size=-1), 'min_size must be at least 0'),
    ],
)
def test_options_out_of_range_are_refused(root: Path, option: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(root, **option)


def test_file_that_is_not_coco_is_refused(root: Path) -> None:
    (root / 'coco.json').write_text('[1, 2')
    with pytest.raises(DataError, match=r'coco\.json: expected JSON in UTF-8'):
        build(root)
    (root / 'coco.json').write_text('{"images": []}')
    with pytest.raises(DataError, match=r'coco\.json: categories is missing'):
        build(root)


def test_file_without_faces_category_is_refused(root: Path) -> None:
    write(root, category='cat', images=[], annotations=[])
    with pytest.raises(DataError, match='none of the categories'):
        build(root)


def test_split_without_images_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="no image in the split 'test'"):
        build(root, split='test', test_fraction=1e-9)


def test_missing_annotation_file_is_named(root: Path) -> None:
    (root / 'coco.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'coco\.json'):
        build(root)


def test_coco_metric_scores_the_split_alone_and_skips_ignored_faces(root: Path) -> None:
    """What the configs rely on: no ``ann_file``, truth from the packed instances."""
    from mmdet.evaluation import CocoMetric

    init_default_scope('mmdet')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(
            type='PackDetInputs',
            meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
        ),
    ]
    for info in build(root):
        blank = np.zeros((info['height'], info['width'], 3), np.uint8)
        cv2.imwrite(info['img_path'], blank)
    dataset = build(root, split='test', min_size=8, test_mode=True, pipeline=pipeline)
    metric = CocoMetric(metric='bbox')
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        truth = item['data_samples'].gt_instances
        assert len(truth) == 1  # the ignored face is not among them
        sample = item['data_samples'].to_dict()
        sample['pred_instances'] = dict(
            bboxes=truth.bboxes.tensor, scores=truth.labels + 0.9, labels=truth.labels
        )
        metric.process({}, [sample])
    assert metric.evaluate(len(dataset))['coco/bbox_mAP_50'] == pytest.approx(1)


def test_facemask_split(shared_data: Path) -> None:
    root = shared_data / 'data' / 'facemask'
    train, test = build(root, split='train'), build(root, split='test')
    assert len(train) + len(test) == 244
    assert len(test) == 49
    assert sum(len(info['instances']) for info in test) == 180
