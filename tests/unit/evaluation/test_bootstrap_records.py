"""One battery for all kinds of records: what the comparison relies on."""

import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.bootstrap import ImageRecords
from sci_plugins.evaluation.detection_images import ImageDetections
from sci_plugins.evaluation.detection_records import DetectionRecords
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.functional.confusion import confusion_matrix
from tests.plain_darkface_ap import random_faces
from tests.plain_segmentation import random_labels

pytest.importorskip('pycocotools')
COUNT = 9
#: Records of some of nine images, by their numbers; of a model, or of a perfect one.
Make = Callable[[Sequence[int], bool], ImageRecords]


def _name(place: int, number: int) -> str:
    return f'{place}:night/{number}.png'


def _faces(chosen: Sequence[int], perfect: bool = False) -> ImageRecords:
    """Every image has the lowest and the highest score, far from all boxes, so that
    the official protocol normalises any choice of images alike."""
    found, boxes = random_faces(np.random.default_rng(0), COUNT, side=60)
    edges = np.array([[-90, -90, -80, -80, -0.5], [-90, -90, -80, -80, 1.5]])
    found = [np.concatenate([each, edges]) for each in found]
    if perfect:
        found = [np.insert(each, 4, 1.0, axis=1) for each in boxes]
    return DetectionRecords(
        [
            ImageDetections(_name(place, number), found[number], boxes[number])
            for place, number in enumerate(chosen)
        ]
    )


def _objects(chosen: Sequence[int], perfect: bool = False) -> ImageRecords:
    faces = _faces(range(COUNT), perfect).images  # type: ignore[attr-defined]
    images = []
    for place, number in enumerate(chosen):
        image = faces[number]
        labels = np.arange(len(image.predictions)) % 2
        true_labels = np.arange(len(image.boxes)) % 2
        ignore = (np.arange(len(image.boxes)) + number) % 4 == 3
        images.append(
            ImageDetections(
                _name(place, number),
                image.predictions,
                image.boxes,
                ignore,
                true_labels if perfect else labels,
                true_labels,
            )
        )
    return DetectionRecords(images, classes=('car', 'bus'))


def _pixels(chosen: Sequence[int], perfect: bool = False) -> ImageRecords:
    pairs = random_labels(np.random.default_rng(0), 4, COUNT)
    matrices = [
        confusion_matrix(np.where(truth == 255, 0, truth) if perfect else found, truth, 4)
        for found, truth in pairs
    ]
    return SegmentationRecords(
        [_name(place, number) for place, number in enumerate(chosen)],
        [matrices[number] for number in chosen],
        ('road', 'sky', 'car', 'bus'),
        ('sky', 'road', 'bus'),
        True,
    )


@pytest.fixture(params=[_faces, _objects, _pixels], ids=['faces', 'objects', 'pixels'])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def _assert_same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-11, err_msg=name)


@pytest.mark.parametrize('kind', [DetectionRecords, SegmentationRecords])
def test_the_protocols_methods_are_there(kind: type) -> None:
    for name in ('metrics', 'resampled', 'save'):
        wanted = inspect.signature(getattr(ImageRecords, name))
        got = inspect.signature(getattr(kind, name))
        assert got == wanted, name
    assert isinstance(kind.names, property)


def test_ids_names_and_the_main_one(make: Make) -> None:
    records = make(range(COUNT), False)
    assert records.ids == [_name(number, number) for number in range(COUNT)]
    assert records.main in records.names
    assert len(set(records.names)) == len(records.names)
    assert list(records.metrics()) == list(records.resampled()) == records.names


def test_the_set_is_its_resample_with_every_image_once(make: Make) -> None:
    records = make(range(COUNT), False)
    numbers = records.metrics()
    assert all(isinstance(value, float) for value in numbers.values())
    for weights in (None, np.ones((1, COUNT)), np.ones((1, COUNT), int)):
        found = records.resampled(weights)
        assert all(value.shape == (1,) for value in found.values())
        _assert_same({name: float(v[0]) for name, v in found.items()}, numbers)


def test_zeros_and_ones_choose_images(make: Make) -> None:
    records = make(range(COUNT), False)
    chosen = [1, 2, 5, 7]
    weights = np.zeros((2, COUNT), bool)
    weights[0, chosen] = weights[1] = True
    found = records.resampled(weights)
    _assert_same({n: v[0] for n, v in found.items()}, make(chosen, False).metrics())
    _assert_same({n: v[1] for n, v in found.items()}, records.metrics())
    assert found[records.main][0] != found[records.main][1]


def test_repeats_count_images_several_times(make: Make) -> None:
    times = np.random.default_rng(3).multinomial(COUNT, [1 / COUNT] * COUNT)
    found = make(range(COUNT), False).resampled(times[None])
    again = make(np.repeat(np.arange(COUNT), times).tolist(), False).metrics()
    _assert_same({n: v[0] for n, v in found.items()}, again)


def test_only_the_proportions_of_weights_matter(make: Make) -> None:
    """By factors that float64 multiplies exactly: COCO reads recalls at exact hundredths.

    Halves, and what is too large for float32, are added up in float64.
    """
    records = make(range(COUNT), False)
    weights = np.random.default_rng(4).multinomial(COUNT, [1 / COUNT] * COUNT, 6)
    expected = records.resampled(weights)
    for factor in (3, 0.5, 2.0**24):
        _assert_same(records.resampled(weights * factor), expected)


def test_a_row_without_images_has_no_numbers(make: Make) -> None:
    found = make(range(COUNT), False).resampled(np.zeros((2, COUNT)))
    assert all(np.isnan(values).all() for values in found.values())
    assert all(math.isnan(value) for value in make([], False).metrics().values())
    none = make(range(COUNT), False).resampled(np.zeros((0, COUNT)))
    assert all(values.shape == (0,) for values in none.values())


def test_higher_is_better(make: Make) -> None:
    """What is there, answered, beats every number of a model that errs."""
    perfect = make(range(COUNT), True).metrics()
    for name, value in make(range(COUNT), False).metrics().items():
        assert value < perfect[name], name
    assert len({round(value, 9) for value in perfect.values()}) == 1


def test_only_what_is_named_in_the_order_of_the_wish(make: Make) -> None:
    records = make(range(COUNT), False)
    few = records.names[::-2]
    assert list(records.metrics(few)) == few
    _assert_same(records.metrics(few), {name: records.metrics()[name] for name in few})
    assert records.metrics([]) == {}
    for ask in (records.metrics, lambda names: records.resampled(None, names)):
        with pytest.raises(ConfigError, match=r"there is no metric 'mAP'; known: \w+"):
            ask(['mAP'])


@pytest.mark.parametrize('shape', [(2, COUNT - 1), (2, COUNT + 1), (COUNT,), (1, 1)])
def test_weights_for_other_images(make: Make, shape: tuple[int, ...]) -> None:
    records = make(range(COUNT), False)
    for name in records.names:
        with pytest.raises(DataError, match=rf'weights must .*\(resamples, {COUNT}\), g'):
            records.resampled(np.ones(shape), [name])


def test_a_file_of_them(make: Make, tmp_path: Path) -> None:
    records = make(range(COUNT), False)
    records.save(tmp_path / 'records.npz')
    again = type(records).load(tmp_path / 'records.npz')  # type: ignore[attr-defined]
    assert (again.ids, again.names) == (records.ids, records.names)
    np.testing.assert_equal(again.metrics(), records.metrics())
    assert [file.name for file in tmp_path.iterdir()] == ['records.npz']


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    _faces(range(COUNT)).save(tmp_path / 'faces.npz')
    _pixels(range(COUNT)).save(tmp_path / 'pixels.npz')
    with pytest.raises(DataError, match=r'faces.npz: is not a file of confusion matri'):
        SegmentationRecords.load(tmp_path / 'faces.npz')
    with pytest.raises(DataError, match=r'pixels.npz: is not a file of detections'):
        DetectionRecords.load(tmp_path / 'pixels.npz')
