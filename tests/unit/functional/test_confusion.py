"""Counting pixels by class: against loops over pixels, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.functional.confusion import confusion_matrix, iou, pixel_counts, ratio, unknown_ids
from tests.plain_segmentation import plain_segmentation, random_labels

DTYPES = (np.uint8, np.int32, np.int64, np.uint16, np.float32)


def _plain(found: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    matrix = np.zeros((classes, classes), np.int64)
    for answer, true in zip(found.ravel().tolist(), truth.ravel().tolist(), strict=True):
        if true != 255:
            matrix[true, answer] += 1
    return matrix


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('classes', [1, 19, 254])
def test_each_pixel_is_counted_once(rng: np.random.Generator, classes: int, dtype: Any) -> None:
    ((found, truth),) = random_labels(rng, classes, 1, side=40)
    counted = confusion_matrix(found.astype(dtype), truth.astype(dtype), classes)
    assert counted.dtype == np.int64
    assert np.array_equal(counted, _plain(found, truth, classes))


def test_more_classes_than_a_byte_holds(rng: np.random.Generator) -> None:
    truth = rng.integers(0, 300, (50, 40))
    found = rng.integers(0, 300, (50, 40))
    truth[0] = 400
    expected = _plain(found[1:], np.where(truth[1:] == 255, 0, truth[1:]), 300)
    truth[truth == 255] = 0
    counted = confusion_matrix(found, truth, 300, ignore_index=400)
    assert np.array_equal(counted, expected)


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int64, torch.float32])
def test_tensors(rng: np.random.Generator, device: torch.device, dtype: Any) -> None:
    ((found, truth),) = random_labels(rng, 5, 1)
    tensors = [torch.from_numpy(each).to(device, dtype) for each in (found, truth)]
    assert np.array_equal(confusion_matrix(*tensors, 5), _plain(found, truth, 5))


def test_bits_are_labels() -> None:
    truth = np.array([[True, False, True]])
    assert confusion_matrix(truth, ~truth, 2).tolist() == [[0, 2], [1, 0]]


def test_input_stays_as_it_is(rng: np.random.Generator) -> None:
    ((found, truth),) = random_labels(rng, 5, 1)
    before = found.copy(), truth.copy()
    confusion_matrix(found, truth, 5)
    assert np.array_equal(found, before[0])
    assert np.array_equal(truth, before[1])


@pytest.mark.parametrize('ignored', [255, -1, 1000, 256, 2])
def test_any_index_can_be_ignored(ignored: int) -> None:
    truth = np.array([[0, 1, ignored, ignored]])
    found = np.array([[0, 0, 1, ignored]])
    assert confusion_matrix(found, truth, 2, ignored).tolist() == [[1, 0], [1, 0]]


def test_the_first_class_can_be_ignored() -> None:
    truth, found = np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    assert confusion_matrix(found, truth, 2, ignore_index=0).tolist() == [[0, 0], [1, 1]]


def test_void_may_be_negative() -> None:
    truth, found = np.array([[0, 1, -1]]), np.array([[1, -1, -1]])
    counted = confusion_matrix(found, truth, 2, ignore_index=-1, void=True)
    assert counted.tolist() == [[0, 1, 0], [0, 0, 1]]


def test_void_may_stand_right_behind_the_classes() -> None:
    """As CamVid's label 11 behind 11 classes."""
    truth, found = np.array([[0, 1, 2]], np.uint8), np.array([[2, 1, 2]], np.uint8)
    counted = confusion_matrix(found, truth, 2, ignore_index=2, void=True)
    assert counted.tolist() == [[0, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
@pytest.mark.parametrize('classes', [3, 256])
def test_a_class_can_be_ignored(dtype: Any, classes: int) -> None:
    """Predicting it where another is there is still wrong."""
    truth, found = np.array([[0, 1, 1, 2]], dtype), np.array([[1, 1, 2, 2]], dtype)
    counted = confusion_matrix(found, truth, classes, ignore_index=1)
    expected = np.zeros((classes, classes), int)
    expected[0, 1] = expected[2, 2] = 1
    assert np.array_equal(counted, expected)


def test_nothing_counts() -> None:
    truth = np.full((3, 3), 255, np.uint8)
    assert not confusion_matrix(np.zeros_like(truth), truth, 4).any()
    assert not confusion_matrix(np.zeros((0, 4)), np.zeros((0, 4)), 4).any()
    for ignored in (256, 1000, -1):  # is not there
        counted = confusion_matrix(truth * 0, truth * 0, 1, ignored, void=True)
        assert counted.tolist() == [[9, 0]]


@pytest.mark.parametrize('classes', [3, 300])
def test_void_predictions_have_a_column(classes: int) -> None:
    ignored = 65535 if classes == 300 else 255
    truth = np.array([[0, 1, 2, ignored]])
    found = np.array([[ignored, 1, ignored, ignored]])
    counted = confusion_matrix(found, truth, classes, ignored, void=True)
    assert counted.shape == (classes, classes + 1)
    assert counted[:3, -1].tolist() == [1, 0, 1]
    assert counted.sum() == 3
    wanted = rf'prediction must hold ids 0 to {classes - 1}, got {ignored}, which only'
    with pytest.raises(DataError, match=wanted):
        confusion_matrix(found, truth, classes, ignored)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('side', ['prediction', 'truth'])
def test_ids_out_of_range_are_named(side: str, dtype: Any) -> None:
    maps = dict(prediction=np.zeros((4, 4), dtype), truth=np.zeros((4, 4), dtype))
    maps[side][1, 1], maps[side][2, 2] = 200, 19
    if dtype == np.uint16:
        maps[side][0, 0] = 40000
    with pytest.raises(DataError, match=f'^{side} must hold ids 0 to 18, got 19, 200'):
        confusion_matrix(**maps, num_classes=19)


def test_negative_ids_are_named() -> None:
    with pytest.raises(DataError, match='truth must hold ids 0 to 1, got -3'):
        confusion_matrix(np.array([[0]]), np.array([[-3]]), 2)


@pytest.mark.parametrize('dtype', [np.uint16, np.int64])
def test_the_first_id_that_is_no_byte(dtype: Any) -> None:
    """Cut to a byte, 256 would be class 0."""
    with pytest.raises(DataError, match=r'hold ids 0 to 1, got 256$'):
        confusion_matrix(np.array([[0, 256]], dtype), np.array([[0, 0]], dtype), 2)


@pytest.mark.parametrize('count', [5, 6])
def test_five_bad_ids_are_shown(count: int) -> None:
    found = np.arange(3, 3 + count)[None]
    message = r'got 3, 4, 5, 6, 7' + (r', \.\.\.$' if count > 5 else '$')
    with pytest.raises(DataError, match=message):
        confusion_matrix(found, np.zeros_like(found), 3)


def test_many_bad_ids_are_cut() -> None:
    found = np.arange(100, 120, dtype=np.uint8).reshape(4, 5)
    with pytest.raises(DataError, match=r'got 100, 101, 102, 103, 104, \.\.\.$'):
        confusion_matrix(found, np.zeros((4, 5), int), 3)


def test_a_bad_prediction_below_ignored_truth_is_named_too() -> None:
    with pytest.raises(DataError, match='prediction must hold ids 0 to 1, got 7'):
        confusion_matrix(np.array([[7]]), np.array([[255]]), 2)


def test_other_mistakes() -> None:
    with pytest.raises(DataError, match='the size of truth, 3 x 2, got 2 x 3'):
        confusion_matrix(np.zeros((3, 2), int), np.zeros((2, 3), int), 2)
    for value in (0.5, np.nan, np.inf):
        with pytest.raises(DataError, match='truth must hold whole numbers, got float64'):
            confusion_matrix(np.zeros((2, 2)), np.full((2, 2), value), 2)
    with pytest.raises(ConfigError, match='num_classes must be at least 1, got 0'):
        confusion_matrix(np.zeros((2, 2)), np.zeros((2, 2)), 0)


def test_unknown_ids() -> None:
    assert unknown_ids(np.array([[0, 4, 255, 7]], np.uint8), 4) == [4, 7]
    assert unknown_ids(np.array([[0, 300, -2, 11]]), 4, ignore_index=11) == [-2, 300]
    assert unknown_ids(np.array([[0, 3, 255]]), 4) == []


def test_iou_and_counts(rng: np.random.Generator) -> None:
    pairs = random_labels(rng, 4, 3)
    matrices = np.stack([confusion_matrix(*pair, 6) for pair in pairs])
    right, there, predicted = pixel_counts(matrices)
    assert right.shape == there.shape == predicted.shape == (3, 6)
    counted = [truth[truth != 255].size for _, truth in pairs]
    assert there.sum(axis=1).tolist() == predicted.sum(axis=1).tolist() == counted
    for index, (found, truth) in enumerate(pairs):
        assert there[index].tolist() == [(truth == label).sum() for label in range(6)]
        answers = found[truth != 255]
        assert predicted[index].tolist() == [(answers == i).sum() for i in range(6)]
        hits = truth[truth == found]
        assert right[index].tolist() == [(hits == label).sum() for label in range(6)]
    plain = plain_segmentation(pairs, 'abcdef')
    expected = [plain[f'IoU/{name}'] / 100 for name in 'abcdef']
    np.testing.assert_allclose(iou(matrices.sum(axis=0)), expected, rtol=1e-14)
    assert np.isnan(iou(matrices.sum(axis=0))).tolist() == [False] * 4 + [True] * 2


def test_void_predictions_lack_in_the_truth_alone() -> None:
    matrix = np.array([[6, 0, 2], [0, 3, 1]])
    assert iou(matrix).tolist() == [6 / 8, 3 / 4]
    assert [part.tolist() for part in pixel_counts(matrix)] == [[6, 3], [8, 4], [6, 3]]


def test_a_ratio_of_nothing() -> None:
    assert np.isnan(ratio(np.array([0, 1]), np.array([0, 2]))).tolist() == [True, False]
