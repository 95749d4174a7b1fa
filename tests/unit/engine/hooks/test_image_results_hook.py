"""Results of a test run image by image: in the order of the set, each once."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch.utils.data import BatchSampler

from sci_plugins.datasets.samplers import Draw
from sci_plugins.engine.hooks import ImageResultsHook, image_results_hook
from sci_plugins.engine.hooks.image_results_hook import sampled_positions
from sci_plugins.errors import DataError
from sci_plugins.evaluation import segmentation_records
from sci_plugins.evaluation.metrics import subset_iou
from sci_plugins.evaluation.metrics.subset_iou import SubsetIoUMetric
from sci_plugins.evaluation.segmentation_records import SegmentationRecords


class _Set(list):
    """Six images, each with a box."""

    def __init__(self, classes: int) -> None:
        super().__init__(range(6))
        self.metainfo = dict(classes=list('abcdef')[:classes])

    def get_data_info(self, index: int) -> dict:
        box = dict(bbox=[0, 0, 1, 1], bbox_label=0)
        return dict(img_path=f'{index}.png', instances=[box])


def _loader(order: list[Any], batch: int = 2, classes: int = 3) -> Any:
    return SimpleNamespace(
        dataset=_Set(classes), batch_sampler=BatchSampler(order, batch, drop_last=False)
    )


def _runner(loader: Any, *metrics: Any) -> Any:
    evaluator = SimpleNamespace(metrics=list(metrics))
    return SimpleNamespace(test_dataloader=loader, test_loop=SimpleNamespace(evaluator=evaluator))


def _boxes(index: int) -> BaseDataElement:
    """As many detections as the image's position says."""
    sample = BaseDataElement(metainfo=dict(img_path=f'{index}.png'))
    sample.pred_instances = InstanceData(
        bboxes=torch.full((index, 4), float(index)),
        scores=torch.full((index,), 0.5),
        labels=torch.ones(index, dtype=torch.long),
    )
    return sample


def _maps(found: Any, true: Any) -> BaseDataElement:
    sample = BaseDataElement(metainfo=dict(img_path='map.png'))
    for name, values in (('pred_sem_seg', found), ('gt_sem_seg', true)):
        if values is not None:
            setattr(sample, name, PixelData(data=torch.tensor(values)[None]))
    return sample


def _run(hook: ImageResultsHook, runner: Any, make: Any = _boxes) -> None:
    hook.before_test(runner)
    for step, batch in enumerate(runner.test_dataloader.batch_sampler):
        indices = [int(getattr(item, 'index', item)) for item in batch]
        images = [torch.full((3, 4, 6), 10 * index) for index in indices]
        hook.after_test_iter(runner, step, dict(inputs=images), [make(i) for i in indices])
    hook.after_test(runner)


@pytest.mark.parametrize(
    'order', [[0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [Draw(i, 7) for i in (2, 0, 1, 3, 4)]]
)
def test_results_come_in_the_order_of_the_set(order: list) -> None:
    hook = ImageResultsHook()
    _run(hook, _runner(_loader(order)))
    assert [each.index for each in hook.results] == [0, 1, 2, 3, 4]
    for index, each in enumerate(hook.results):
        assert each.path == f'{index}.png'
        boxes, labels = each.kept
        assert boxes.shape == (index, 5)
        assert (boxes[:, :4] == index).all()
        assert (boxes[:, 4] == 0.5).all()
        assert labels.tolist() == [1] * index
        assert each.luma == pytest.approx(10 * index / 255, abs=1e-6)


def test_images_that_a_sampler_repeats_are_there_once() -> None:
    hook = ImageResultsHook()
    _run(hook, _runner(_loader([0, 1, 2, 0])))
    assert [each.index for each in hook.results] == [0, 1, 2]


def test_a_second_run_forgets_the_first() -> None:
    hook = ImageResultsHook()
    for size in (3, 2):
        _run(hook, _runner(_loader(list(range(size)))))
    assert len(hook.results) == 2


def test_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hands over one item, its list; unequal lengths lose nothing."""
    parts: list[Any] = []

    def collect(items: list, size: int) -> Any:
        assert size == 2
        parts.extend(items)
        return None if len(parts) == 1 else parts

    monkeypatch.setattr(image_results_hook, 'collect_results', collect)
    monkeypatch.setattr(image_results_hook, 'get_world_size', lambda: 2)
    found = []
    for order in ([1, 3], [0, 2, 4]):
        hook = ImageResultsHook()
        _run(hook, _runner(_loader(order)))
        found.append(hook.results)
    assert found[0] is None
    assert [each.index for each in found[1]] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(('order', 'luma'), [('bgr', 0.114), ('rgb', 0.299)])
def test_luma_knows_the_channel_order(order: str, luma: float) -> None:
    hook = ImageResultsHook(input_order=order)
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    image[0] = 255
    assert hook._luma(image) == pytest.approx(luma)


def test_luma_of_16_bits() -> None:
    image = torch.full((3, 4, 4), 6553.5)
    assert ImageResultsHook(input_max=65535)._luma(image) == pytest.approx(0.1)
    assert ImageResultsHook(input_max=65535)._luma(image.byte() * 0 + 51) == pytest.approx(0.2)


def test_padding_has_no_luma() -> None:
    image = torch.full((3, 20, 30), 114, dtype=torch.uint8)
    image[:, :10, :12] = 51
    assert ImageResultsHook(fill_color=(114,) * 3)._luma(image) == pytest.approx(0.2)
    assert ImageResultsHook()._luma(image) > 0.3


@pytest.mark.parametrize('image', [[torch.zeros(3, 4, 4)], torch.zeros(1, 4, 4)])
def test_what_is_no_image_has_no_luma(image: Any) -> None:
    assert math.isnan(ImageResultsHook()._luma(image))


def test_label_maps_become_matrices() -> None:
    hook = ImageResultsHook()
    sample = _maps([[0, 1], [2, 2]], [[0, 1], [1, 255]])
    _run(hook, _runner(_loader([0])), lambda index: sample)
    wanted = np.zeros((3, 3))
    wanted[0, 0] = wanted[1, 1] = wanted[1, 2] = 1
    np.testing.assert_array_equal(hook.results[0].kept, wanted)
    assert hook.kind is SegmentationRecords


def test_the_evaluator_says_what_is_ignored() -> None:
    hook = ImageResultsHook()
    sample = _maps([[0, 1]], [[0, 1]])
    metrics = [SimpleNamespace(), SimpleNamespace(ignore_index=1)]
    _run(hook, _runner(_loader([0]), *metrics), lambda index: sample)
    assert hook.results[0].kept.sum() == 1


@pytest.mark.parametrize('sample', [_maps([[0]], None), BaseDataElement()])
def test_nothing_is_kept_of_what_no_class_accepts(sample: Any) -> None:
    hook = ImageResultsHook()
    _run(hook, _runner(_loader([0])), lambda index: sample)
    assert hook.kind is hook.results[0].kept is None


def test_an_image_without_ground_truth_among_others() -> None:
    hook = ImageResultsHook()
    samples = [_maps([[0]], [[0]]), _maps([[0]], None)]
    _run(hook, _runner(_loader([0, 1])), lambda index: samples[index])
    assert [result.kept is None for result in hook.results] == [False, True]


def test_the_matrix_of_the_evaluators_metric_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pixels of one image are counted once, batch by batch."""
    metric = SubsetIoUMetric()
    metric.dataset_meta = dict(classes='abc')
    found = [torch.tensor([[0, index]]) for index in range(3)]
    samples = [_maps(each.tolist(), [[0, 1]]) for each in found]
    for index, sample in enumerate(samples):
        sample.set_metainfo(dict(img_path=f'{index}.png'))
    calls: list[Any] = []
    count = subset_iou.confusion_matrix
    monkeypatch.setattr(subset_iou, 'confusion_matrix', lambda *a: calls.append(a) or count(*a))
    monkeypatch.setattr(segmentation_records, 'confusion_matrix', None)  # would fail
    hook = ImageResultsHook()

    def make(index: int) -> Any:
        if index % 2 == 0:  # the first of a batch: the evaluator has seen them all by then
            metric.process({}, [each.to_dict() for each in samples[index : index + 2]])
        return samples[index]

    _run(hook, _runner(_loader([0, 1, 2]), metric), make)
    assert len(calls) == 3
    for index, result in enumerate(hook.results):
        assert result.kept[1].tolist() == [int(index == c) for c in range(3)]


def test_maps_that_do_not_fit_are_named() -> None:
    hook = ImageResultsHook()
    sample = _maps([[0, 1]], [[0], [1]])
    with pytest.raises(DataError, match=r'map\.png: prediction must have the size'):
        _run(hook, _runner(_loader([0])), lambda index: sample)


def test_positions_of_bare_indices_and_of_draws() -> None:
    assert sampled_positions(_loader([4, 2, 0])) == [4, 2, 0]
    assert sampled_positions(_loader([Draw(5), Draw(1)])) == [5, 1]
