"""One variant against the base, against plain loops over copied images."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm, t

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation import analysis as module
from sci_plugins.evaluation.analysis import Effect, VariantAnalysis, analyse
from sci_plugins.evaluation.bootstrap import resample_weights
from sci_plugins.evaluation.detection_records import DarkFaceRecords, ImageDetections
from sci_plugins.evaluation.records import ImageRecords, MeanRecords, RunInfo
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from sci_plugins.utils.schema import from_content, to_content
from tests.plain_darkface_ap import random_faces

COUNT = 9
IDS = [f'image{number}' for number in range(COUNT)]
LUMA = {name: (7 * number % COUNT) / 10 for number, name in enumerate(IDS)}
#: Makes the records of one model (0 or 1) on these images, by number; again is allowed.
Make = Callable[[int, Sequence[int]], ImageRecords]


def _detections(model: int, images: Sequence[int]) -> DarkFaceRecords:
    """Faces are the same for both models; each image has the scores 0 and 1."""
    pytest.importorskip('pycocotools')
    _, boxes = random_faces(np.random.default_rng(0), COUNT, side=60)
    rng = np.random.default_rng(model + 1)
    ends = np.array([[900, 900, 950, 950, 1.0], [900, 900, 950, 950, 0.0]])
    found = []
    for truth in boxes:
        near = truth + rng.normal(0, 4, truth.shape)
        scores = rng.uniform(size=(len(truth), 1))
        found.append(np.concatenate([np.concatenate([near, scores], axis=1), ends]))
    return DarkFaceRecords(
        [
            ImageDetections(name, found[number], boxes[number])
            for number, name in zip(images, _names(images), strict=True)
        ]
    )


def _matrices(model: int, images: Sequence[int]) -> SegmentationRecords:
    """The last class is in the first image alone."""
    each = np.random.default_rng(model).integers(1, 50, (COUNT, 3, 3))
    each[1:, 2] = each[1:, :, 2] = 0
    return SegmentationRecords(_names(images), each[list(images)], ('a', 'b', 'rare'))


@pytest.mark.parametrize('make', [_detections, _matrices])
def test_equal_results_are_told(make: Make) -> None:
    base, again, other = (make(model, range(COUNT)) for model in (0, 0, 1))
    assert analyse(base, again, base_name='a', resamples=20).identical
    assert not analyse(base, other, base_name='a', resamples=20).identical


def _names(images: Sequence[int]) -> list[str]:
    """The images' names; copies are told apart."""
    images = list(images)
    return [IDS[number] + '+' * images[:place].count(number) for place, number in enumerate(images)]


both = pytest.mark.parametrize('make', [_detections, _matrices])
GROUPS = [0, 0, 1, 2, 2, 2, 3, 4, 5]


@both
@pytest.mark.parametrize('groups', [None, GROUPS])
def test_intervals_are_those_of_a_plain_loop(make: Make, groups: list | None) -> None:
    base, other = make(0, range(COUNT)), make(1, range(COUNT))
    found = analyse(base, other, base_name='none', groups=groups, resamples=25, seed=3)
    assert (found.units, found.images) == (COUNT if groups is None else 6, COUNT)
    assert (found.seed, found.resamples) == (3, 25)
    weights = resample_weights(groups or COUNT, 25, 3)
    differences: dict[str, list[float]] = {name: [] for name in found.intervals}
    for row in weights:
        copies = np.repeat(np.arange(COUNT), row).tolist()
        before, after = (make(model, copies).metrics() for model in (0, 1))
        for name, kept in differences.items():
            kept.append(after[name] - before[name])
    for name, interval in found.intervals.items():
        few = t.ppf([0.025, 0.975], found.units - 1) * np.sqrt(found.units / (found.units - 1))
        expected = np.nanquantile(differences[name], norm.cdf(few))
        assert (interval.low, interval.high) == pytest.approx(expected, abs=1e-9), name
        before, after = base.metrics()[name], other.metrics()[name]
        assert found.values[name] == (before, after)
        assert interval.delta == after - before
    assert list(found.intervals) == base.names


@both
def test_effects_are_what_leaving_an_image_out_changes(make: Make) -> None:
    base, other = make(0, range(COUNT)), make(1, range(COUNT))
    found = analyse(base, other, base_name='none', changed=COUNT, resamples=2)
    effects = {each.image: each.effect for each in found.gained + found.lost}
    for number, name in enumerate(IDS):
        kept = [place for place in range(COUNT) if place != number]
        before, after = (make(model, kept).metrics()[base.main] for model in (0, 1))
        expected = found.main.delta - (after - before)
        assert effects.get(name, 0.0) == pytest.approx(expected, abs=1e-9)
    assert len(effects) >= COUNT - 2


@both
def test_the_strongest_come_first(make: Make) -> None:
    base, other = make(0, range(COUNT)), make(1, range(COUNT))
    every = analyse(base, other, base_name='none', changed=COUNT, resamples=2)
    gained, lost = ([e.effect for e in part] for part in (every.gained, every.lost))
    assert min(len(gained), len(lost)) >= 2
    assert gained == sorted(gained, reverse=True)
    assert lost == sorted(lost)
    assert lost[-1] < 0 < gained[-1]
    few = analyse(base, other, base_name='none', changed=1, resamples=2)
    assert (few.gained, few.lost) == (every.gained[:1], every.lost[:1])
    turned = analyse(other, base, base_name='none', changed=1, resamples=2)
    assert turned.gained[0].image == few.lost[0].image
    none = analyse(base, other, base_name='none', changed=0, resamples=2)
    assert none.gained == none.lost == []


@both
@pytest.mark.parametrize('groups', [None, GROUPS])
def test_thirds_are_the_numbers_of_their_images(make: Make, groups: list | None) -> None:
    base, other = make(0, range(COUNT)), make(1, range(COUNT))
    found = analyse(
        base, other, base_name='none', brightness=LUMA, groups=groups, resamples=40
    ).groups['brightness']
    assert [part.name for part in found] == [
        'darkest third, 0 to 0.2',
        'middle third, 0.3 to 0.5',
        'brightest third, 0.6 to 0.8',
    ]
    order = sorted(range(COUNT), key=lambda number: LUMA[IDS[number]])
    for start, part in zip((0, 3, 6), found, strict=True):
        images = order[start : start + 3]
        own = [number if groups is None else groups[number] for number in images]
        alone = analyse(make(0, images), make(1, images), base_name='', groups=own, resamples=40)
        assert part.images == 3
        np.testing.assert_allclose((part.base, part.value), alone.values[base.main])
        interval = part.interval.delta, part.interval.low, part.interval.high
        expected = alone.main.delta, alone.main.low, alone.main.high
        np.testing.assert_allclose(interval, expected, atol=1e-9)


def test_two_images_have_no_thirds() -> None:
    base, other = _matrices(0, [1, 2]), _matrices(1, [1, 2])
    assert analyse(base, other, base_name='none', brightness=LUMA).groups == {}
    assert analyse(base, other, base_name='none').groups == {}


def test_clips_of_equal_frames_widen_the_interval() -> None:
    """Four copies of each image are as good as one, as long as they stay together."""
    frames = [number for number in range(COUNT) for _ in range(4)]
    base, other = _matrices(0, frames), _matrices(1, frames)
    options = dict(base_name='none', metric='aAcc')
    clips = analyse(base, other, groups=frames, **options).main
    apart = analyse(base, other, **options).main
    once = analyse(_matrices(0, range(COUNT)), _matrices(1, range(COUNT)), **options)
    assert (clips.low, clips.high) == pytest.approx((once.main.low, once.main.high))
    assert 1.5 < (clips.high - clips.low) / (apart.high - apart.low) < 2.7


def test_the_same_model_shows_no_difference() -> None:
    base = _detections(0, range(COUNT))
    found = analyse(base, base, base_name='none', brightness=LUMA, resamples=20)
    assert {each.verdict for each in found.intervals.values()} == {'no difference shown'}
    assert found.main.low == found.main.high == found.main.delta == 0
    assert found.gained == found.lost == []


def test_the_metric_may_be_another() -> None:
    base, other = _matrices(0, range(COUNT)), _matrices(1, range(COUNT))
    found = analyse(base, other, base_name='none', metric='IoU/a', brightness=LUMA)
    assert found.main == found.intervals['IoU/a'] != found.intervals['mIoU']
    darkest = sorted(IDS, key=LUMA.__getitem__)[:3]
    alone = _matrices(0, [IDS.index(name) for name in darkest]).metrics()['IoU/a']
    assert found.groups['brightness'][0].base == pytest.approx(alone)
    default = analyse(base, other, base_name='none')
    assert default.metric == 'mIoU'
    assert default.gained != found.gained


def test_only_what_both_have_is_compared() -> None:
    base = _detections(0, range(COUNT))
    other = DarkFaceRecords(_detections(1, range(COUNT)).images, coco=False)
    found = analyse(base, other, base_name='', metric='VOC_AP50_area', resamples=2)
    assert list(found.intervals) == other.names


@both
def test_through_json_with_what_is_not_defined(make: Make) -> None:
    images = range(1, COUNT)  # without the class that is rare
    base, other = make(0, images), make(1, images)
    if make is _matrices:
        assert math.isnan(base.metrics()['IoU/rare'])
    found = analyse(base, other, base_name='none', brightness=LUMA, groups=GROUPS[1:], resamples=9)
    content = json.loads(json.dumps(to_content(found), allow_nan=False))
    again = from_content(VariantAnalysis, content, '')
    np.testing.assert_equal(_plain(again), _plain(found))
    assert to_content(again) == content
    assert isinstance(again.gained[0], Effect)
    assert again.units == 6


def test_a_class_of_one_image() -> None:
    """Without it there is no number: no effect, and two thirds that say nothing."""
    base, other = _matrices(0, range(COUNT)), _matrices(1, range(COUNT))
    options = dict(base_name='none', metric='IoU/rare', brightness=LUMA)
    found = analyse(base, other, **options)
    assert IDS[0] not in [each.image for each in found.gained + found.lost]
    assert found.main.delta != 0
    thirds = found.groups['brightness']
    assert [math.isnan(part.base) for part in thirds] == [False, True, True]
    assert thirds[1].interval.verdict == 'not defined'
    text = json.dumps(to_content(found), allow_nan=False)
    again = from_content(VariantAnalysis, json.loads(text), '')
    np.testing.assert_equal(_plain(again), _plain(found))


def test_an_image_without_which_there_is_no_number() -> None:
    """The third of five has the only face; the variant's false positives are ranked."""
    face, row = np.array([[0.0, 0, 9, 9]]), np.array([[0, 0, 9, 9, 0.5]])
    false = np.add(row, [50, 50, 50, 50, 0.4])
    few = [row[:0], row[:0], row, row[:0], row[:0]]
    many = [np.repeat(false, count, 0) for count in (3, 1, 0, 2, 4)]
    base, other = (
        DarkFaceRecords(
            list(map(ImageDetections, IDS, found, [face[: n == 2] for n in range(5)])), coco=False
        )
        for found in (few, [*many[:2], row, *many[3:]])
    )
    found = analyse(base, other, base_name='none', resamples=2, changed=9)
    assert [each.image[-1] for each in found.lost] == ['4', '0', '3', '1']
    assert found.gained == []


def _plain(found: VariantAnalysis) -> dict:
    """As nested dictionaries, in which NaN equals NaN."""
    parts = {
        kind: [vars(part) | dict(interval=vars(part.interval)) for part in each]
        for kind, each in found.groups.items()
    }
    intervals = {name: vars(each) for name, each in found.intervals.items()}
    return vars(found) | dict(groups=parts, intervals=intervals)


@both
@pytest.mark.parametrize('chunk', [1, 4])
def test_chunks_change_nothing(make: Make, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = make(0, range(COUNT)), make(1, range(COUNT))
    options = dict(base_name='none', brightness=LUMA, resamples=15)
    expected = analyse(base, other, **options)
    rows: list[int] = []
    resampled = type(base).resampled

    def counted(records: ImageRecords, weights: Any = None, names: Any = None) -> dict:
        rows.append(1 if weights is None else len(weights))
        return resampled(records, weights, names)

    monkeypatch.setattr(type(base), 'resampled', counted)
    monkeypatch.setattr(module, '_CHUNK', chunk)
    found = analyse(base, other, **options)
    monkeypatch.undo()
    assert max(rows) == chunk
    assert _leaves(to_content(found)) == pytest.approx(_leaves(to_content(expected)))
    assert len(_leaves(to_content(found))) > 50


def _leaves(content: Any, key: str = '') -> dict[str, Any]:
    """The numbers and words of nested lists and dictionaries, by their place."""
    if not isinstance(content, dict | list):
        return {key: content}
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    leaves: dict[str, Any] = {}
    for name, part in pairs:
        leaves |= _leaves(part, f'{key}/{name}')
    return leaves


def test_other_images() -> None:
    base = _matrices(0, range(COUNT))
    for images in ([0, 1, 2, 3], [1, 0, *range(2, COUNT)]):
        with pytest.raises(DataError, match=f'same images .* {COUNT} and {len(images)} '):
            analyse(base, _matrices(1, images), base_name='none')


def test_other_bad_input() -> None:
    base, other = _matrices(0, range(COUNT)), _matrices(1, range(COUNT))
    with pytest.raises(ConfigError, match="no metric 'AP'; there are mIoU, aAcc"):
        analyse(base, other, base_name='none', metric='AP')
    for groups in ([0, 1], []):
        with pytest.raises(DataError, match=f'expected 9 groups.*, got {len(groups)}'):
            analyse(base, other, base_name='none', groups=groups)
    with pytest.raises(DataError, match="brightness must have every image, lacks 'image1'"):
        analyse(base, other, base_name='none', brightness={'image0': 0.1})
    with pytest.raises(ConfigError, match='resamples must be at least 1, got 0'):
        analyse(base, other, base_name='none', resamples=0)
    with pytest.raises(DataError, match='no image to resample'):
        analyse(_matrices(0, []), _matrices(1, []), base_name='none')


class Errors(MeanRecords):
    """Of which less is better."""

    lower_is_better = ('error',)

    @classmethod
    def accepts(cls, output: object, run: RunInfo) -> bool:
        return True

    @classmethod
    def keep(cls, output: object, run: RunInfo) -> dict[str, float]:
        raise NotImplementedError


def test_less_is_better() -> None:
    """The same numbers as ever, with verdicts and effects the other way round."""
    ids = [f'image{number}' for number in range(30)]
    rng = np.random.default_rng(0)
    before = rng.uniform(5, 6, 30)
    fall = rng.uniform(0.1, 1, 30)
    fall[7] = -0.5
    settings: Any = dict(base_name='none', changed=30, brightness=dict(zip(ids, fall, strict=True)))
    base, other = (Errors(ids, dict(error=each)) for each in (before, before - fall))
    found = analyse(base, other, **settings)
    assert found.main.delta == pytest.approx(-fall.mean())
    assert found.main.high < 0
    assert found.main.verdict == 'helps'
    assert [each.image for each in found.lost if each.effect < -0.03] == ['image7']
    assert len(found.gained) > 10
    assert all(each.effect > 0 for each in found.gained)
    assert found.groups['brightness'][2].interval.verdict == 'helps'
    again = from_content(VariantAnalysis, json.loads(json.dumps(to_content(found))), '')
    assert again == found
    assert analyse(other, base, **settings).main.verdict == 'hurts'


def _read_old(content: dict) -> VariantAnalysis:
    return from_content(VariantAnalysis, content, '').with_todays_names()


def test_the_official_number_was_called_ap() -> None:
    """In files of version 0.1; another metric of that name keeps it."""
    found = analyse(_detections(0, range(COUNT)), _detections(1, range(COUNT)), base_name='none')
    new = to_content(found) | dict(metric='DARKFACE_AP')
    old = json.loads(json.dumps(new).replace('DARKFACE_AP', 'AP'))
    assert 'AP' in old['values']
    assert to_content(_read_old(old)) == new
    for key in ('values', 'intervals'):
        del old[key]['VOC_AP50_area']
    mine = _read_old(old)
    assert mine.metric == 'AP'
    assert 'AP' in mine.values
