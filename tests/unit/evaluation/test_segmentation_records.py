"""The set's numbers and resamples' from matrices kept image by image."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.functional.confusion import confusion_matrix
from tests.plain_segmentation import plain_segmentation, random_labels

CLASSES = ('road', 'sky', 'traffic sign', 'car', 'train')
Pairs = list[tuple[np.ndarray, np.ndarray]]


def _records(pairs: Pairs, **options: object) -> SegmentationRecords:
    matrices = [confusion_matrix(*pair, len(CLASSES)) for pair in pairs]
    return SegmentationRecords(
        [f'night/{index}' for index in range(len(pairs))], matrices, CLASSES, **options
    )


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    """Seven images in which everything but the train can be seen."""
    return random_labels(rng, 4, 7)


def test_the_plain_references_numbers(pairs: Pairs) -> None:
    found, plain = _records(pairs).metrics(), plain_segmentation(pairs, CLASSES)
    assert list(found) == _records(pairs).names
    assert set(found) == set(plain)
    for name, value in plain.items():
        assert found[name] == pytest.approx(value, abs=1e-11, nan_ok=True), name
    assert math.isnan(found['IoU/train'])
    assert len({round(v, 6) for v in found.values() if not math.isnan(v)}) == 7


def test_one_class_everywhere_is_constant_and_no_better_than_chance() -> None:
    true = np.array([[0, 0, 0, 1, 1, 3]])
    records = _records([(np.zeros_like(true), true)] * 2)
    assert records.constant() == 'every pixel road'
    assert records.chance() == pytest.approx(records.metrics()['mIoU']) == 100 * 0.5 / 3
    assert records.weakness('mIoU') == 'mIoU is 16.67, less than twice chance (16.67)'
    assert _records([(true, true)]).constant() == _records([(true, true)]).weakness('mIoU') == ''


def test_the_protocol_tells_other_ground_truth(pairs: Pairs) -> None:
    records = _records(pairs)
    turned = _records([((found + 1) % 4, true) for found, true in pairs])
    assert records.protocol() == turned.protocol()
    other = _records([(found, np.where(true == 1, 2, true)) for found, true in pairs])
    changed = {k for k, v in other.protocol().items() if v != records.protocol()[k]}
    assert changed == {'truth_sha256'}


def test_chance_is_what_shuffled_predictions_reach(rng: np.random.Generator) -> None:
    true, found = rng.choice(4, (2, 1, 200_000), p=[0.6, 0.25, 0.1, 0.05])
    records = _records([(found, true)])
    assert records.chance() == pytest.approx(records.metrics()['mIoU'], abs=0.2)
    assert records.constant() == ''


def test_the_mean_is_not_that_of_the_images(pairs: Pairs) -> None:
    """The set's pixels are accumulated first, as mmseg does."""
    found = _records(pairs).metrics()['mIoU']
    each = [plain_segmentation([pair], CLASSES)['mIoU'] for pair in pairs]
    assert abs(found - np.mean(each)) > 1e-3


def test_main_and_definitions() -> None:
    definitions = SegmentationRecords.definitions
    assert SegmentationRecords.main in definitions
    assert set(definitions) == {'mIoU', 'aAcc', 'mAcc', 'IoU/CLASS'}


def test_a_resample_is_the_images_again(pairs: Pairs, rng: np.random.Generator) -> None:
    records = _records(pairs)
    weights = rng.multinomial(7, np.full(7, 1 / 7), 5)
    found = records.resampled(weights)
    for row, counts in enumerate(weights):
        again = [pairs[i] for i, count in enumerate(counts) for _ in range(count)]
        plain = plain_segmentation(again, CLASSES)
        for name, value in plain.items():
            assert found[name].shape == (5,)
            assert found[name][row] == pytest.approx(value, abs=1e-11, nan_ok=True)


def test_a_class_may_be_missing_in_a_resample_alone() -> None:
    both = np.array([[0, 1]]), np.array([[0, 1]])
    one = np.array([[0, 0]]), np.array([[0, 0]])
    records = SegmentationRecords(
        'ab', [confusion_matrix(*pair, 2) for pair in (both, one)], ('road', 'sky')
    )
    found = records.resampled(np.array([[1, 1], [0, 2], [0, 0]]))
    assert np.isnan(found['IoU/sky']).tolist() == [False, True, True]
    assert found['mIoU'][:2].tolist() == [100, 100]
    assert np.isnan(found['mIoU'][2])
    assert np.isnan(found['aAcc'][2])


def test_names_restrict_the_work(pairs: Pairs) -> None:
    records = _records(pairs)
    few = ['IoU/traffic sign', 'mIoU']
    assert list(records.metrics(few)) == few
    assert list(records.resampled(np.ones((3, 7)), few)) == few
    assert records.metrics(few)['mIoU'] == records.metrics()['mIoU']
    with pytest.raises(ConfigError, match="no metric 'IoU/rider'; known: mIoU, aAcc"):
        records.metrics(['IoU/rider'])


def test_a_subset_changes_the_means_alone(pairs: Pairs) -> None:
    subset = ('road', 'car', 'train')
    found, whole = _records(pairs, subset=subset).metrics(), _records(pairs).metrics()
    assert set(found) == {'mIoU', 'aAcc', 'mAcc', *(f'IoU/{name}' for name in subset)}
    assert found['IoU/road'] == whole['IoU/road']
    assert found['IoU/car'] == whole['IoU/car']
    assert found['mIoU'] == pytest.approx((whole['IoU/road'] + whole['IoU/car']) / 2)
    kept = sum(int(np.isin(truth, (0, 3)).sum()) for _, truth in pairs)
    right = sum(int(((truth == found) & np.isin(truth, (0, 3))).sum()) for found, truth in pairs)
    assert found['aAcc'] == pytest.approx(100 * right / kept)


def test_left_out_truth_can_be_ignored(pairs: Pairs) -> None:
    """As if the labels said 255 there; confusion with it then costs only one side."""
    subset = ('road', 'car')
    found = _records(pairs, subset=subset, ignore_left_out=True).metrics()
    relabelled = [(answer, np.where(np.isin(truth, (0, 3)), truth, 255)) for answer, truth in pairs]
    plain = plain_segmentation(relabelled, CLASSES)
    for name in ('IoU/road', 'IoU/car', 'aAcc', 'mAcc'):
        assert found[name] == pytest.approx(plain[name], abs=1e-11), name
    assert found['mIoU'] == pytest.approx((plain['IoU/road'] + plain['IoU/car']) / 2)
    assert found['IoU/road'] > _records(pairs).metrics()['IoU/road']


def test_ignoring_leaves_the_matrices_whole(rng: np.random.Generator) -> None:
    matrices = rng.integers(1, 9, (2, 5, 5))
    before = matrices.copy()
    records = SegmentationRecords('ab', matrices, CLASSES, CLASSES[:2], True)
    assert np.array_equal(matrices, before)
    assert np.array_equal(records.matrices, before)


def test_void_predictions_are_wrong() -> None:
    truth = np.array([[0, 0, 1, 1]])
    found = np.array([[0, 255, 1, 1]])
    matrix = confusion_matrix(found, truth, 2, void=True)
    numbers = SegmentationRecords(['a'], matrix[None], ('road', 'sky')).metrics()
    assert numbers == {'mIoU': 75, 'aAcc': 75, 'mAcc': 75, 'IoU/road': 50, 'IoU/sky': 100}


def test_accuracy_and_share_of_the_classes(pairs: Pairs) -> None:
    records = _records(pairs)
    found = records.of_classes()
    assert list(found) == list(CLASSES)
    accuracy, share = np.array(list(found.values())).T
    assert np.nanmean(accuracy) == pytest.approx(records.metrics()['mAcc'])
    assert sum(share) == pytest.approx(100)
    assert found['train'][1] == 0


@pytest.mark.parametrize('void', [0, 1])
def test_a_file_keeps_everything(tmp_path: Path, pairs: Pairs, void: int) -> None:
    matrices = np.stack([confusion_matrix(*p, 5, void=bool(void)) for p in pairs])
    names = [f'nächtlich/{index}' for index in range(7)]
    records = SegmentationRecords(names, matrices, CLASSES, CLASSES[1:4], True)
    path = tmp_path / 'new/records.npz'
    records.save(path)
    again = SegmentationRecords.load(path)
    assert again.ids == names
    assert (again.classes, again.subset) == (CLASSES, CLASSES[1:4])
    assert again.ignore_left_out is True
    assert np.array_equal(again.matrices, matrices)
    assert again.metrics() == records.metrics()
    assert [file.name for file in path.parent.iterdir()] == ['records.npz']


def test_no_image_at_all() -> None:
    records = SegmentationRecords([], [], CLASSES)
    assert all(math.isnan(value) for value in records.metrics().values())


def test_what_is_no_file_of_records(tmp_path: Path) -> None:
    path = tmp_path / 'x.npz'
    np.savez(path, ids=np.array(['a']), matrices=np.zeros((2, 5, 5)), classes=['a'] * 5)
    for content in (path.read_bytes(), b'', b'nothing', path.read_bytes()[:50]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r'x.npz: is not a file of Segm'):
            SegmentationRecords.load(path)
    np.savez(path, ids=np.array([{}], dtype=object))
    with pytest.raises(DataError, match='is not a file of Segm'):
        SegmentationRecords.load(path)
    with pytest.raises(DataError, match=r'none.npz: is not'):
        SegmentationRecords.load(tmp_path / 'none.npz')


def test_mistakes(pairs: Pairs) -> None:
    with pytest.raises(DataError, match="duplicate image 'a'"):
        SegmentationRecords('aa', np.zeros((2, 5, 5)), CLASSES)
    with pytest.raises(
        ConfigError, match=r"^subset=\('road', 'bus'\) needs 'bus'; the classes are"
    ):
        _records(pairs, subset=('road', 'bus'))
    for subset in ((), ('sky', 'sky')):
        with pytest.raises(ConfigError, match='different names, at least one'):
            _records(pairs, subset=subset)
    with pytest.raises(DataError, match=r'must have the shape \(resamples, 7\), got \(2, 6'):
        _records(pairs).resampled(np.ones((2, 6)))


@pytest.mark.parametrize('ignored', [False, True])
@pytest.mark.parametrize('void', [False, True])
def test_a_resample_of_a_subset(rng: np.random.Generator, ignored: bool, void: bool) -> None:
    """Plain loops over the images again, in an order that is not the classes'."""
    pairs = random_labels(rng, 4, 6)
    subset = ('car', 'train', 'road')
    if void:
        for found, _ in pairs:
            found[rng.random(found.shape) < 0.2] = 255
    matrices = [confusion_matrix(*pair, len(CLASSES), void=void) for pair in pairs]
    records = SegmentationRecords('abcdef', matrices, CLASSES, subset, ignored)
    weights = rng.multinomial(6, np.full(6, 1 / 6), 4)
    found = records.resampled(weights)
    for row, counts in enumerate(weights):
        again = [pairs[i] for i, count in enumerate(counts) for _ in range(count)]
        kept = [(answer, np.isin(truth, (0, 3))) for answer, truth in again]
        if ignored:
            again = [
                (answer, np.where(here, truth, 255))
                for (answer, truth), (_, here) in zip(again, kept, strict=True)
            ]
        plain = plain_segmentation(again, CLASSES)
        ious = [plain[f'IoU/{name}'] for name in subset]
        assert math.isnan(ious[1])
        assert found['mIoU'][row] == pytest.approx((ious[0] + ious[2]) / 2, abs=1e-11)
        for name, value in zip(subset, ious, strict=True):
            got = found[f'IoU/{name}'][row]
            assert got == pytest.approx(value, abs=1e-11, nan_ok=True)
        true = sum(here.sum() for _, here in kept)
        hits = sum(
            (here & (answer == truth)).sum()
            for (answer, truth), (_, here) in zip(again, kept, strict=True)
        )
        assert found['aAcc'][row] == pytest.approx(100 * hits / true, abs=1e-11)


def test_absent_on_one_side_and_on_both() -> None:
    """Never predicted: 0 in both means. Never there: 0 in mIoU, out of mAcc. Neither:
    out of both."""
    truth = np.array([[0, 0, 0, 0], [1, 1, 255, 255]])
    found = np.array([[0, 0, 0, 2], [0, 0, 1, 3]])
    matrix = confusion_matrix(found, truth, 4)
    records = SegmentationRecords(['a'], matrix[None], ('road', 'sky', 'car', 'bus'))
    numbers = records.metrics()
    assert numbers['IoU/road'] == 100 * 3 / 6
    assert numbers['IoU/sky'] == numbers['IoU/car'] == 0
    assert math.isnan(numbers['IoU/bus'])
    assert numbers['mIoU'] == pytest.approx(50 / 3)
    assert numbers['mAcc'] == pytest.approx(75 / 2)
    assert numbers['aAcc'] == 50
    accuracy, share = zip(*records.of_classes().values(), strict=True)
    assert list(map(math.isnan, accuracy)) == [False, False, True, True]
    assert share == pytest.approx([200 / 3, 100 / 3, 0, 0])
    only = SegmentationRecords(['a'], matrix[None], records.classes, ('bus',))
    assert all(math.isnan(value) for value in only.metrics().values())
    assert math.isnan(only.of_classes()['bus'][1])


def test_the_shares_are_of_the_subset() -> None:
    matrix = np.diag([6, 3, 1])
    classes = ('road', 'sky', 'car')
    records = SegmentationRecords(['a'], matrix[None], classes, ('car', 'sky'))
    assert {name: share for name, (_, share) in records.of_classes().items()} == dict(
        car=25, sky=75
    )


def test_large_counts_are_added_exactly() -> None:
    """Beyond float32 and int32, below 2**53: one pixel still counts."""
    big = 2**40
    matrices = np.array([[[big, 0], [0, 1]], [[1, 1], [0, big]]])
    records = SegmentationRecords('ab', matrices, ('road', 'sky'))
    found = records.resampled(np.array([[3, 2]]))
    assert found['IoU/road'][0] == 100 * ((3 * big + 2) / (3 * big + 4))
    assert found['IoU/sky'][0] == 100 * ((2 * big + 3) / (2 * big + 5))


def test_what_is_no_number_of_pixels() -> None:
    for wrong in (0.5, -1, np.nan, np.inf):
        matrices = np.ones((2, 5, 5))
        matrices[1, 2, 3] = wrong
        with pytest.raises(DataError, match='matrices must hold numbers of pixels, wh'):
            SegmentationRecords('ab', matrices, CLASSES)
    whole = SegmentationRecords('ab', np.ones((2, 5, 5)), CLASSES)
    assert whole.matrices.dtype == np.int64


def test_shapes_that_do_not_fit() -> None:
    mixed = [np.zeros((5, 5), int), np.zeros((5, 6), int)]
    with pytest.raises(DataError, match=r'one shape, got \[\(5, 5\), \(5, 6\)\]'):
        SegmentationRecords('ab', mixed, CLASSES)
    for shape in ((1, 5, 5), (2, 5, 4), (2, 6, 5), (2, 5, 7), (2, 25), (2, 4, 4)):
        wanted = f'matrices of 2 images and 5 classes must be (2, 5, 5), got {shape}'
        with pytest.raises(DataError, match=re.escape(wanted)):
            SegmentationRecords('ab', np.zeros(shape, int), CLASSES)
    with pytest.raises(DataError, match=r'must be \(1, 5, 5\), got \(0, 5, 5\)'):
        SegmentationRecords('a', [], CLASSES)


def test_a_thousand_resamples(rng: np.random.Generator) -> None:
    """Of ACDC-night's 106 images and 19 classes; each as if computed alone."""
    matrices = rng.integers(0, 10000, (106, 19, 19))
    names = [str(index) for index in range(106)]
    records = SegmentationRecords(names, matrices, [str(index) for index in range(19)])
    weights = rng.multinomial(106, np.full(106, 1 / 106), 1000)
    found = records.resampled(weights)
    assert len(found) == 22
    for row in (0, 500, 999):
        alone = records.resampled(weights[row : row + 1])
        assert {k: v[0] for k, v in alone.items()} == pytest.approx(
            {k: v[row] for k, v in found.items()}
        )
