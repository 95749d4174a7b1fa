"""Records from results and ground truth, to files and back."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from sci_plugins.apis.compare.measuring import Kept, RecordStore, file_slug, make_records
from sci_plugins.engine.hooks import ImageResult, ImageResultsHook
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.conditions import Condition
from sci_plugins.evaluation.detection_records import DetectionRecords
from sci_plugins.evaluation.metrics import SubsetIoUMetric
from sci_plugins.evaluation.records import ImageSet, RunInfo
from sci_plugins.evaluation.segmentation_records import SegmentationRecords

ABOUT: dict[str, Any] = dict(config_sha256='c', weights=dict(sci=dict(sha256='w')))
DARK = Condition(0.05)


class _Set(list):
    """A data set whose infos are its items."""

    metainfo: ClassVar[dict] = dict(classes=('a', 'b'))

    def get_data_info(self, index: int) -> dict:
        return self[index]


def _boxes(count: int = 3, ignore: int = 0) -> ImageSet:
    """An image with a box of each class."""
    instances = [
        dict(bbox=[0, 0, 10, 10], bbox_label=0, ignore_flag=0),
        dict(bbox=[20, 20, 40, 40], bbox_label=1, ignore_flag=ignore),
    ]
    return ImageSet(_Set(dict(img_path=f'/d/{n}.png', instances=instances) for n in range(count)))


def _paths(count: int) -> ImageSet:
    return ImageSet(_Set(dict(img_path=f'/d/{n}.png') for n in range(count)))


def _rows(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the first box in every image, the second in all but image 1."""
    rows = [[0, 0, 10, 10, 0.9], [20, 20, 40, 40, 0.8]][: 1 if index == 1 else 2]
    return np.array(rows, float), np.arange(len(rows))


def _hook(kind: Any, images: ImageSet, kept: list, **settings: Any) -> ImageResultsHook:
    """A hook after a run; settings: ``lumas``, ``places``, ``paths``, ``metrics``."""
    hook = ImageResultsHook()
    hook.kind, hook.run = kind, RunInfo(images, settings.get('metrics', []))
    places = settings.get('places', range(len(kept)))
    paths = settings.get('paths', [f'/d/{n}.png' for n in places])
    lumas = settings.get('lumas', [0.5] * len(kept))
    rows = zip(places, paths, lumas, kept, strict=True)
    hook.results = [ImageResult(*row) for row in rows]
    return hook


def _detected(images: ImageSet | None = None, **settings: Any) -> ImageResultsHook:
    found = _boxes() if images is None else images
    kept = settings.pop('kept', [_rows(n) for n in range(len(found))])
    return _hook(DetectionRecords, found, kept, **settings)


def _mapped(**settings: Any) -> ImageResultsHook:
    matrices = [np.array([[3, 1], [0, 4]]), np.array([[2, 0], [2, 4]])]
    return _hook(SegmentationRecords, _paths(2), matrices, lumas=[0.0, 0.1], **settings)


def _kept(result: Kept | str) -> Kept:
    assert isinstance(result, Kept), result
    return result


def test_detections_of_several_classes_join_their_ground_truth() -> None:
    records = _kept(make_records(_detected())).records
    assert records.ids == ['0', '1', '2']
    numbers = records.metrics(['COCO_AP50/a', 'COCO_AP50/b'])
    assert numbers['COCO_AP50/a'] == pytest.approx(1)
    assert numbers['COCO_AP50/b'] == pytest.approx(67 / 101)  # 101 recalls, 2 of 3 found


def test_ignored_boxes_need_not_be_found() -> None:
    nothing = [(np.zeros((0, 5)), np.zeros(0, int))] * 3
    kept = _kept(make_records(_detected(_boxes(ignore=1), kept=nothing)))
    numbers = kept.records.metrics(['COCO_AP50/a', 'COCO_AP50/b'])
    assert numbers['COCO_AP50/a'] == 0
    assert np.isnan(numbers['COCO_AP50/b'])


def test_label_maps_keep_their_matrices() -> None:
    kept = _kept(make_records(_mapped()))
    assert kept.records.metrics()['aAcc'] == pytest.approx(100 * 13 / 16)
    assert kept.brightness == pytest.approx({'0': 0.0, '1': 0.1})


def test_a_metric_s_choice_of_classes_is_the_records() -> None:
    metric = SubsetIoUMetric(classes=['b'], ignore_left_out=True)
    kept = _kept(make_records(_mapped(metrics=[SimpleNamespace(), metric])))
    assert kept.records.names == ['mIoU', 'aAcc', 'mAcc', 'IoU/b']
    assert kept.records.metrics()['aAcc'] == 100 * 8 / 10


def test_an_image_without_luma_leaves_no_brightness() -> None:
    assert _kept(make_records(_detected(lumas=[0.5, np.nan, 0.5]))).brightness is None


@pytest.mark.parametrize(
    ('hook', 'reason'),
    [
        (_detected(ImageSet([0])), 'does not list its images'),
        (_hook(DetectionRecords, _boxes(), [_rows(0)] * 2, places=[0, 2]), '2 of 3 images were'),
        (_hook(DetectionRecords, _boxes(2), [_rows(1)], paths=['/d/0.png']), '1 of 2 images'),
        (_detected(_boxes(1), paths=['/d/1.png']), "in their sampler's order"),
        (_hook(None, _boxes(1), [None]), 'no class of records accepts .*DetectionRecords, .*Seg'),
        (_hook(SegmentationRecords, _paths(2), [np.eye(2), None]), '1 of 2 images have no gr'),
    ],
)
def test_why_there_are_no_records(hook: ImageResultsHook, reason: str) -> None:
    found = make_records(hook)
    assert isinstance(found, str)
    assert re.search(reason, found)


@pytest.mark.parametrize('kind', ['boxes', 'maps'])
def test_to_a_file_and_back(tmp_path: Path, kind: str) -> None:
    kept = _kept(make_records(_detected(lumas=[0, 0.1, 0.2]) if kind == 'boxes' else _mapped()))
    store = RecordStore(tmp_path, ABOUT)
    store.save(DARK, 'sci', kept)
    assert store.path(DARK, 'sci') == tmp_path / 'gain-0.05_noise-0' / 'sci.npz'
    again = store.load(DARK, 'sci')
    kinds = dict(boxes=DetectionRecords, maps=SegmentationRecords)
    assert type(again.records) is kinds[kind]
    assert again.records.ids == kept.records.ids
    np.testing.assert_equal(again.records.metrics(), kept.records.metrics())
    np.testing.assert_array_equal(again.luma, kept.luma)
    assert [path.name for path in (tmp_path / DARK.slug).iterdir()] == ['sci.npz']


@pytest.fixture()
def store(tmp_path: Path) -> RecordStore:
    store = RecordStore(tmp_path, ABOUT)
    kept = _kept(make_records(_detected()))
    store.save(DARK, 'sci', kept)
    return store


@pytest.mark.parametrize(
    'about',
    [
        dict(ABOUT, config_sha256='other'),
        dict(ABOUT, weights=dict(sci=dict(sha256='other'))),
        dict(ABOUT, weights={}),
    ],
)
def test_records_made_with_something_else(store: RecordStore, about: dict) -> None:
    other = RecordStore(store.folder, about)
    with pytest.raises(ConfigError, match=r'sci\.npz was made with another config'):
        other.load(DARK, 'sci')


def test_what_else_is_told_does_not_matter(store: RecordStore) -> None:
    weights = dict(ABOUT['weights'], gamma=dict(sha256='g'))
    about = dict(ABOUT, seed=7, environment=dict(cpu='x'), weights=weights)
    assert RecordStore(store.folder, about).load(DARK, 'sci').records.ids


def test_a_file_in_another_s_place(store: RecordStore) -> None:
    kept = store.load(DARK, 'sci')
    store.save(DARK, 'gamma', kept)
    store.path(DARK, 'gamma').rename(store.path(DARK, 'clahe'))
    with pytest.raises(ConfigError, match='was made with'):
        store.load(DARK, 'clahe')  # neither has weights
    store.save(DARK, 'gamma', kept)
    other = store.path(Condition(), 'gamma')
    other.parent.mkdir()
    store.path(DARK, 'gamma').rename(other)
    with pytest.raises(ConfigError, match='was made with'):
        store.load(Condition(), 'gamma')


@pytest.mark.parametrize('content', [b'', b'no zip', None])
def test_files_that_are_none(store: RecordStore, content: bytes | None) -> None:
    path = store.path(DARK, 'sci')
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r'sci\.npz: is not a file of records'):
        store.load(DARK, 'sci')


def test_names_of_files() -> None:
    names = ['none', 'sci/official/medium', 'sci-official-medium', 'sci official medium']
    slugs = [file_slug(name) for name in [*names, '../../x', 'X' * 500, "a('b|c')"]]
    assert slugs[0] == 'none'
    assert len(set(slugs)) == len(slugs)
    for slug in slugs:
        assert len(slug) < 100
        assert not set(slug) & set('/\\|\'"() ')
        assert not slug.startswith('.')


def test_a_damaged_file_says_what_to_do(store: RecordStore) -> None:
    path = store.path(DARK, 'sci')
    whole = path.read_bytes()
    said = set()
    for start in range(30, len(whole), max(len(whole) // 40, 1)):
        path.write_bytes(whole[:start] + b'\xff' * 8 + whole[start + 8 :])
        try:
            store.load(DARK, 'sci')
        except (ConfigError, DataError) as error:
            said.add(str(error))
    assert len(said) > 2
    assert all('sci.npz' in message for message in said)
