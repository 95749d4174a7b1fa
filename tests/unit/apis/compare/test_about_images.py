"""Names and truth of a test set."""

from mmengine.config import Config
from mmengine.dataset import ConcatDataset
from mmengine.registry import DefaultScope

from sci_plugins.apis.compare.about import build_image_set
from sci_plugins.evaluation.records import ImageSet


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
