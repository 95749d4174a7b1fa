"""A label map that does not fit is named, whichever way it does not."""

import pickle

import numpy as np
import pytest

from sci_plugins.datasets.transforms import CheckLabelMap
from sci_plugins.errors import DataError
from sci_plugins.registry import TRANSFORMS


def _results(label: np.ndarray, shape: tuple[int, ...] = (2, 3)) -> dict:
    return dict(gt_seg_map=label, seg_map_path='l.png', img_path='i.png', ori_shape=shape)


def test_a_good_label_map_passes_unchanged() -> None:
    check = TRANSFORMS.build(dict(type='sci_plugins.CheckLabelMap', num_classes=3))
    label = np.array([[0, 1, 2], [255, 255, 0]], np.uint8)
    results = check(_results(label.copy()))
    np.testing.assert_array_equal(results['gt_seg_map'], label)
    assert repr(pickle.loads(pickle.dumps(check))) == repr(check)


@pytest.mark.parametrize(
    ('label', 'words'),
    [
        (np.zeros((2, 3, 3), np.uint8), r'l\.png: expected one channel .*\(3 channels\)'),
        (np.zeros((3, 2), np.uint8), r'l\.png: is 2x3, its image i\.png is 3x2'),
        (np.full((2, 3), 3, np.uint8), r'l\.png: expected classes 0 to 2 or 255 .* got 3'),
        (np.array([[0, 9, 7], [255, 1, 2]], np.uint8), r'expected classes .* got 7, 9'),
    ],
)
def test_what_does_not_fit_is_named(label: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        CheckLabelMap(3)(_results(label))


def test_another_ignored_value() -> None:
    label = np.array([[0, 9, 9]], np.uint8)
    CheckLabelMap(3, ignore_index=9)(_results(label, (1, 3)))
    with pytest.raises(DataError, match='255'):
        CheckLabelMap(3, ignore_index=9)(_results(label | 255, (1, 3)))


def test_without_the_size_as_loaded_it_is_not_compared() -> None:
    results = _results(np.zeros((5, 5), np.uint8))
    del results['ori_shape']
    assert CheckLabelMap(1)(results) is results
