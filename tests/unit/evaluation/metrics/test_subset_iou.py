"""The metric against the host's own, its subsets, and what it keeps."""

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator

from sci_plugins.datasets.night_layouts import CITYSCAPES
from sci_plugins.errors import ConfigError, DataError
from sci_plugins.evaluation.metrics import subset_iou
from sci_plugins.evaluation.metrics.subset_iou import SubsetIoUMetric
from sci_plugins.evaluation.segmentation_records import SegmentationRecords
from tests.plain_segmentation import plain_segmentation, random_labels

Pairs = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    """Images without the last three classes."""
    return random_labels(rng, 16, 6, side=40)


def _samples(pairs: Pairs, dtype: Any = torch.int64) -> list[dict]:
    """What an evaluator hands to a metric."""
    return [
        dict(
            img_path=f'/data/acdc/GOPR{index % 2}/{index}_rgb_anon.png',
            pred_sem_seg=dict(data=torch.from_numpy(found)[None].to(dtype)),
            gt_sem_seg=dict(data=torch.from_numpy(truth)[None].long()),
        )
        for index, (found, truth) in enumerate(pairs)
    ]


def _evaluate(
    metric: Any, samples: list[dict], classes: tuple[str, ...] = CITYSCAPES
) -> dict[str, float]:
    metric.dataset_meta = dict(classes=classes)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def test_the_hosts_own_numbers(pairs: Pairs) -> None:
    metrics = pytest.importorskip('mmseg.evaluation.metrics')
    host = metrics.IoUMetric()
    with mock.patch.object(metrics.iou_metric.np, 'round', lambda value, _: value):
        theirs = _evaluate(host, _samples(pairs))
    ours = _evaluate(SubsetIoUMetric(), _samples(pairs))
    assert set(theirs) == {'aAcc', 'mIoU', 'mAcc'}
    for name, value in theirs.items():  # computed in float32
        assert ours[name] == pytest.approx(float(value), rel=3e-7), name


def test_the_hosts_own_classes(pairs: Pairs) -> None:
    metrics = pytest.importorskip('mmseg.evaluation.metrics')
    areas = [
        metrics.IoUMetric.intersect_and_union(
            torch.from_numpy(found).long(), torch.from_numpy(truth).long(), 19, 255
        )
        for found, truth in pairs
    ]
    totals = [sum(area).double() for area in zip(*areas, strict=True)]
    theirs = metrics.IoUMetric.total_area_to_metrics(*totals)['IoU']
    ours = _evaluate(SubsetIoUMetric(), _samples(pairs))
    found = [ours[f'IoU/{name}'] for name in CITYSCAPES]
    np.testing.assert_array_equal(np.array(found), 100 * theirs)


def test_an_independent_reference(pairs: Pairs) -> None:
    ours = _evaluate(SubsetIoUMetric(), _samples(pairs))
    plain = plain_segmentation(pairs, CITYSCAPES)
    assert set(ours) == set(plain)
    for name, value in plain.items():
        assert ours[name] == pytest.approx(value, abs=1e-11, nan_ok=True)


@pytest.mark.parametrize(('classes', 'there'), [(15, 14), (5, 4), (['sky', 'bus'], 2)])
def test_subsets(pairs: Pairs, classes: Any, there: int) -> None:
    whole = _evaluate(SubsetIoUMetric(), _samples(pairs))
    part = _evaluate(SubsetIoUMetric(classes=classes), _samples(pairs))
    each = {key: value for key, value in part.items() if key.startswith('IoU/')}
    assert len(each) == (classes if isinstance(classes, int) else 2)
    known = {key: value for key, value in each.items() if not np.isnan(value)}
    assert len(known) == there - ('IoU/bicycle' in each)
    assert all(whole[key] == value for key, value in known.items())
    assert part['mIoU'] == pytest.approx(np.mean(list(known.values())))


def test_left_out_truth_ignored(pairs: Pairs) -> None:
    """The same as labels that lack the other classes."""
    subset = ['road', 'car']
    indices = [CITYSCAPES.index(name) for name in subset]
    fewer = [(found, np.where(np.isin(truth, indices), truth, 255)) for found, truth in pairs]
    metric = SubsetIoUMetric(classes=subset, ignore_left_out=True)
    ours = _evaluate(metric, _samples(pairs))
    plain = plain_segmentation(fewer, CITYSCAPES)
    for name in ('IoU/road', 'IoU/car', 'mAcc', 'aAcc'):
        assert ours[name] == pytest.approx(plain[name])


def test_records_are_kept_and_written(pairs: Pairs, tmp_path: Path) -> None:
    metric = SubsetIoUMetric(classes=15, records_file=str(tmp_path / 'seg.npz'))
    numbers = _evaluate(metric, _samples(pairs))
    assert metric.records is not None
    assert metric.records.ids[:3] == ['GOPR0/0_rgb_anon', 'GOPR1/1_rgb_anon', 'GOPR0/2_rgb_anon']
    assert metric.records.matrices.shape == (6, 19, 19)
    again = SegmentationRecords.load(tmp_path / 'seg.npz')
    np.testing.assert_equal(again.metrics(), numbers)


def test_the_table_is_printed(pairs: Pairs) -> None:
    with mock.patch.object(subset_iou, 'print_log') as printed:
        _evaluate(SubsetIoUMetric(classes=15), _samples(pairs))
    text = printed.call_args.args[0]
    assert 'traffic sign' in text
    assert '15 classes of 19, without rider, truck, bus, motorcycle' in text
    assert 'neither present nor predicted: train, bicycle' in text


def test_every_process_counts_its_images(pairs: Pairs) -> None:
    """Two processes with every second image; the padded one counts once."""
    samples = _samples(pairs[:5])
    alone = _evaluate(SubsetIoUMetric(), samples)
    parts = []
    for rank in range(2):
        metric = SubsetIoUMetric()
        metric.dataset_meta = dict(classes=CITYSCAPES)
        # MMEngine's sampler begins again to give all processes equally many.
        metric.process({}, [*samples, samples[0]][rank::2])
        parts.append(metric.results)
    together = [each for pair in zip(*parts, strict=True) for each in pair][:5]
    metric = SubsetIoUMetric()
    metric.dataset_meta = dict(classes=CITYSCAPES)
    np.testing.assert_equal(metric.compute_metrics(together), alone)
    assert [name[-10] for name in metric.records.ids] == list('01234')


def test_by_its_name_in_an_evaluator(pairs: Pairs) -> None:
    structures = pytest.importorskip('mmseg.structures')
    from mmengine.structures import PixelData

    evaluator = Evaluator(dict(type='sci_plugins.SubsetIoUMetric', classes=5))
    evaluator.dataset_meta = dict(classes=CITYSCAPES)
    for sample in _samples(pairs):
        data = structures.SegDataSample(metainfo=dict(img_path=sample['img_path']))
        for key in ('pred_sem_seg', 'gt_sem_seg'):
            data.set_field(PixelData(**sample[key]), key)
        evaluator.process([data], {})
    found = evaluator.evaluate(len(pairs))
    assert found['mIoU'] == _evaluate(SubsetIoUMetric(classes=5), _samples(pairs))['mIoU']


def test_another_index_can_be_ignored(pairs: Pairs) -> None:
    other = [(found, np.where(truth == 255, 44, truth)) for found, truth in pairs]
    found = _evaluate(SubsetIoUMetric(ignore_index=44), _samples(other))
    np.testing.assert_equal(found, _evaluate(SubsetIoUMetric(), _samples(pairs)))


def test_it_takes_the_hosts_place_in_a_config() -> None:
    cfg = Config(dict(test_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU'])))
    ours = dict(type='sci_plugins.SubsetIoUMetric', classes=15)
    cfg.merge_from_dict(dict(test_evaluator=ours))
    (metric,) = Evaluator(cfg.test_evaluator).metrics
    assert metric.classes == 15


def test_one_channel_gives_floats() -> None:
    """mmseg's binary heads predict 0.0 and 1.0."""
    pair = np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8)
    found = _evaluate(SubsetIoUMetric(), _samples([pair], torch.float32), ('no', 'yes'))
    assert (found['IoU/no'], found['IoU/yes']) == (50, 50)


def test_mistakes_are_named(pairs: Pairs) -> None:
    (sample,) = _samples(pairs[:1])
    sample['gt_sem_seg']['data'][0, 3, 3] = 77
    with pytest.raises(DataError, match=r'0_rgb_anon.png: truth must .* 0 to 18, got 77'):
        _evaluate(SubsetIoUMetric(), [sample])
    sample['pred_sem_seg']['data'] = torch.zeros(1, 8, 9, dtype=torch.int64)
    with pytest.raises(DataError, match=r'png: prediction .* 43 x 40, got 9 x 8'):
        _evaluate(SubsetIoUMetric(), [sample])
    with pytest.raises(ConfigError, match="classes=15 needs 'road'"):
        _evaluate(SubsetIoUMetric(classes=15), _samples(pairs[:1]), ('a', 'b'))
    with pytest.raises(ConfigError, match='a data set with names of classes'):
        _evaluate(SubsetIoUMetric(), _samples(pairs[:1]), ())
    del sample['gt_sem_seg']
    with pytest.raises(ConfigError, match='must have LoadAnnotations'):
        _evaluate(SubsetIoUMetric(), [sample])
    (sample,) = _samples(pairs[:1])
    del sample['img_path']
    with pytest.raises(ConfigError, match="'img_path' among the meta_keys"):
        _evaluate(SubsetIoUMetric(), [sample])
    for others in (['mIoU', 'mDice'], 'mDice'):
        with pytest.raises(ConfigError, match='computes mIoU only'):
            SubsetIoUMetric(iou_metrics=others)
    with pytest.raises(DataError, match='there is no image'):
        SubsetIoUMetric().compute_metrics([])
