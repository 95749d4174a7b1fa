"""One battery for all kinds of records: what the comparison relies on; test sets."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sci_plugins.datasets.darkface import DarkFaceDataset
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import metrics
from sci_plugins.evaluation.detection_records import (
    DarkFaceRecords,
    DetectionRecords,
    ImageDetections,
)
from sci_plugins.evaluation.records import (
    ImageRecords,
    ImageSet,
    MeanRecords,
    RunInfo,
    find_kind,
    image_ids,
    kinds_of_records,
)
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.functional.confusion import confusion_matrix
from sci_plugins.registry import RECORDS
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
    return DarkFaceRecords(
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


class Quality(MeanRecords):
    """As a user would write it; takes everything."""

    @classmethod
    def accepts(cls, output: object, run: RunInfo) -> bool:
        return True

    @classmethod
    def keep(cls, output: object, run: RunInfo) -> dict[str, float]:
        raise NotImplementedError


def _means(chosen: Sequence[int], perfect: bool = False) -> ImageRecords:
    """Two numbers an image; the first image has no second one."""
    values = np.random.default_rng(1).uniform(0.1, 0.9, (2, COUNT))
    values = np.where(perfect, 1.0, values)
    values[1, 0] = np.nan
    names = [_name(place, number) for place, number in enumerate(chosen)]
    return Quality(names, dict(zip('ab', values[:, list(chosen)], strict=True)))


@pytest.fixture(params=[_faces, _objects, _pixels, _means])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def _assert_same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-11, err_msg=name)


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


@pytest.fixture()
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files name their class, which must be known."""
    kinds_of_records()
    monkeypatch.setitem(RECORDS.module_dict, 'Quality', Quality)


@pytest.mark.usefixtures('registered')
def test_a_file_of_them(make: Make, tmp_path: Path) -> None:
    records = make(range(COUNT), False)
    records.save(tmp_path / 'records.npz')
    for kind in (ImageRecords, type(records)):
        again = kind.load(tmp_path / 'records.npz')
        assert type(again) is type(records)
        assert (again.ids, again.names) == (records.ids, records.names)
        np.testing.assert_equal(again.metrics(), records.metrics())
    assert [file.name for file in tmp_path.iterdir()] == ['records.npz']


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    _faces(range(COUNT)).save(tmp_path / 'faces.npz')
    _objects(range(COUNT)).save(tmp_path / 'objects.npz')
    _means(range(COUNT)).save(tmp_path / 'means.npz')
    with pytest.raises(DataError, match=r'faces.npz: is not a file of Seg.*it holds DarkF'):
        SegmentationRecords.load(tmp_path / 'faces.npz')
    with pytest.raises(DataError, match=r'objects.npz: is not a file of DarkFaceRecords'):
        DarkFaceRecords.load(tmp_path / 'objects.npz')
    assert DetectionRecords.load(tmp_path / 'faces.npz').names[0] == 'DARKFACE_AP'
    with pytest.raises(DataError, match='Quality is not registered; import the module'):
        ImageRecords.load(tmp_path / 'means.npz')


@pytest.mark.parametrize(
    ('make', 'classes', 'kind'),
    [
        (_faces, ['face'], DarkFaceRecords),
        (_faces, [], DarkFaceRecords),
        (_faces, ['pedestrian'], DetectionRecords),
        (_objects, ['car', 'bus'], DetectionRecords),
        (_pixels, None, SegmentationRecords),
    ],
)
def test_files_of_before_the_kinds_had_names(
    tmp_path: Path, make: Make, classes: list | None, kind: type
) -> None:
    records = make(range(COUNT), False)
    arrays = records.arrays() | dict(ids=np.array(records.ids))
    if classes is not None:
        arrays |= dict(classes=np.array(classes, dtype=str))
    np.savez(tmp_path / 'old.npz', **arrays)
    again = ImageRecords.load(tmp_path / 'old.npz')
    assert type(again) is kind
    known = [name for name in again.names if name in records.names]
    np.testing.assert_equal(again.metrics(known), records.metrics(known))


class _Output(SimpleNamespace):
    """What a model gives for an image."""


BOXES = _Output(pred_instances=SimpleNamespace(bboxes=0))
MAPS = _Output(pred_sem_seg=SimpleNamespace(data=0), gt_sem_seg=SimpleNamespace(data=0))
DARK_FACE = dict(dataset_name='DARK FACE', classes=('face',))


class _Set(list):
    def __init__(self, infos: list, **metainfo: object) -> None:
        super().__init__(infos)
        self.metainfo = metainfo

    def get_data_info(self, index: int) -> dict:
        return self[index]


class DarkFaceMetric:
    """Stands for the metric, which is known by its name."""


WITH_BOX = [dict(img_path='a.png', instances=[dict(bbox=[0, 0, 1, 1], bbox_label=0)])]


@pytest.mark.parametrize(
    ('output', 'dataset', 'metrics', 'kind'),
    [
        (BOXES, _Set(WITH_BOX, classes=('pedestrian',)), [], DetectionRecords),
        (BOXES, _Set(WITH_BOX, classes=('face',)), [], DetectionRecords),
        (BOXES, _Set(WITH_BOX, classes=('face',)), [DarkFaceMetric()], DarkFaceRecords),
        (BOXES, _Set(WITH_BOX, **DARK_FACE), [], DarkFaceRecords),
        (BOXES, _Set(WITH_BOX, classes=('a', 'b')), [DarkFaceMetric()], DetectionRecords),
        (BOXES, _Set([dict(img_path='a.png', instances=[])], **DARK_FACE), [], None),
        (BOXES, _Set([dict(img_path='a.png')], classes=('a',)), [], None),
        (MAPS, _Set([dict(img_path='a.png')], classes=('a',)), [], SegmentationRecords),
        (_Output(pred_sem_seg=MAPS.pred_sem_seg), _Set([]), [], None),
        (torch.zeros(3), _Set([]), [], None),
        (dict(), _Set([]), [], None),
    ],
)
def test_which_class_takes_an_output(
    output: object, dataset: _Set, metrics: list, kind: type | None
) -> None:
    assert find_kind(output, RunInfo(ImageSet(dataset), metrics)) is kind


def test_the_real_set_and_metric_are_those_of_dark_face() -> None:
    assert DarkFaceDataset.METAINFO['dataset_name'] == 'DARK FACE'
    assert metrics.DarkFaceMetric.__name__ == 'DarkFaceMetric'


def test_a_users_class_is_asked_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = kinds_of_records()
    before = {'Quality': Quality, **RECORDS.module_dict}  # imported before ours
    monkeypatch.setattr(RECORDS, '_module_dict', before)
    assert kinds_of_records() == [Quality, *ours]
    assert find_kind(BOXES, RunInfo(ImageSet(_Set(WITH_BOX, classes=('a',))))) is Quality


def test_numbers_that_are_not_one_an_image() -> None:
    with pytest.raises(DataError, match=r'psnr: expected 2 numbers, got \(3,\)'):
        Quality(['a', 'b'], dict(psnr=[1, 2, 3]))


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
def test_names_of_images(paths: list[str], ids: list[str]) -> None:
    assert image_ids(paths) == ids


def test_flags_of_ignored_boxes() -> None:
    box: dict = dict(bbox=[0, 0, 1, 1], bbox_label=2)
    info = dict(img_path='a.png', instances=[dict(box, ignore_flag=1), box])
    _, labels, ignore = ImageSet(_Set([info])).truth(0)
    assert (labels.tolist(), ignore.tolist()) == ([2, 2], [True, False])


def test_a_set_that_lists_no_images() -> None:
    images = ImageSet([1, 2, 3])
    assert (len(images), images.ids, images.infos, images.metainfo) == (3, [], [], {})
