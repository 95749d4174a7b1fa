"""Names and truth of a test set."""

from typing import Any

import pytest
from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import DefaultScope

from sci_plugins.apis.compare.about import ImageSet, build_image_set, image_ids


@pytest.mark.parametrize(
    ('paths', 'ids'),
    [
        (['/d/a.png', '/d/b.png'], ['a', 'b']),
        (['/d/x/a.png', '/d/y/a.png'], ['x/a', 'y/a']),
        (['/d/a.png', '/d/a.jpg'], ['a.png', 'a.jpg']),
        (['/d/a.png', '/d/a.png', '/d/b.png'], ['a.png', 'a.png#2', 'b.png']),
        (['/d/a.b.png'], ['a.b']),
        (['', '/d/a.png'], ['000000', '000001']),
        ([], []),
    ],
)
def test_names(paths: list[str], ids: list[str]) -> None:
    assert image_ids(paths) == ids


def test_the_config_s_scope_counts_not_the_current_one(det: tuple[Config, str]) -> None:
    with DefaultScope.overwrite_default_scope('mmseg'):
        assert len(build_image_set(det[0])) == 3
        assert DefaultScope.get_current_instance().scope_name == 'mmseg'


def test_a_real_set_of_boxes(det: tuple[Config, str]) -> None:
    images = build_image_set(det[0])
    assert images.ids == ['000', '001', '002']
    assert images.classes == ('thing',)
    assert images.has_boxes
    boxes, labels, ignore = images.truth(1)
    assert boxes.shape == (6, 4)
    assert (boxes[:, 2:] - boxes[:, :2] == 16).all()
    assert labels.tolist() == [0] * 6
    assert not ignore.any()


def test_sets_behind_one_another(det: tuple[Config, str]) -> None:
    one = build_image_set(det[0])
    both = ImageSet(ConcatDataset([one.dataset, one.dataset]))
    assert both.ids == [f'00{n}.png' for n in (0, 1, 2)] + [f'00{n}.png#2' for n in (0, 1, 2)]
    assert (both.truth(4)[0] == one.truth(1)[0]).all()


def test_a_set_of_label_maps_has_no_boxes(seg: tuple[Config, str]) -> None:
    images = build_image_set(seg[0])
    assert images.ids == ['000', '001', '002']
    assert not images.has_boxes
    assert len(images.truth(0)[0]) == 0


def test_flags_of_ignored_boxes() -> None:
    box: dict[str, Any] = dict(bbox=[0, 0, 1, 1], bbox_label=2)
    info = dict(img_path='a.png', instances=[dict(box, ignore_flag=1), box])

    class OneImage(list):
        def get_data_info(self, index: int) -> dict:
            return info

    _, labels, ignore = ImageSet(OneImage([0])).truth(0)
    assert (labels.tolist(), ignore.tolist()) == ([2, 2], [True, False])


def test_a_set_that_tells_nothing() -> None:
    images = ImageSet([1, 2, 3])
    assert (len(images), images.ids, images.infos, images.metainfo) == (3, [], [], {})


@pytest.mark.parametrize(
    ('count', 'wanted'), [(0, []), (-1, []), (1, [0]), (2, [0, 9]), (99, list(range(10)))]
)
def test_evenly_spaced(count: int, wanted: list[int]) -> None:
    assert ImageSet(list(range(10))).spread(count) == wanted
