"""Keeping what a model found in each tested image, whatever the evaluator keeps."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.dist import collect_results, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from sci_plugins.errors import DataError
from sci_plugins.functional.confusion import confusion_matrix
from sci_plugins.functional.host_image import host_to_rgb, valid_size
from sci_plugins.functional.retinex import mean_luma
from sci_plugins.registry import HOOKS

IGNORED = 255


@dataclass(frozen=True)
class ImageResult:
    """What was found in one tested image.

    Args:
        index: position in the test set.
        path: file of the image; empty if the samples do not say.
        luma: mean BT.601 luma, in [0, 1], of the input at the network's scale, before
            an enhancer of the model and without padding; NaN if it is no RGB image.
        boxes: ``(P, 5)``, ``x1 y1 x2 y2 score`` in pixels of the original; ``None`` if
            the model gives no boxes.
        labels: ``(P,)``, classes of the boxes.
        matrix: ``(C, C)``, pixels by true and predicted class; ``None`` if the model
            gives no label map or the sample has no true one.
    """

    index: int
    path: str
    luma: float
    boxes: np.ndarray | None = None
    labels: np.ndarray | None = None
    matrix: np.ndarray | None = None


@HOOKS.register_module()
class ImageResultsHook(Hook):
    """Collects the results of a test run image by image.

    After the run ``results`` holds one :class:`ImageResult` for each image of the set,
    in its order, on the main process; ``None`` on the others. What samplers repeat to
    give every process as many images is there once.

    Args:
        input_order: channel order that the pipeline loads, ``'bgr'`` or ``'rgb'``.
        fill_color: colour, in that order, that the pipeline pads with; ``None`` if it
            does not pad.

    Raises:
        DataError: naming the image, if predicted and true label map do not fit.
    """

    priority = 'VERY_LOW'

    def __init__(self, input_order: str = 'bgr', fill_color: Sequence[float] | None = None) -> None:
        self.input_order = input_order
        self.fill_color = fill_color
        self.results: list[ImageResult] | None = None
        self._own: list[ImageResult] = []
        self._positions: list[int] = []
        self._classes = 0
        self._ignored = IGNORED

    def before_test(self, runner: Runner) -> None:
        loader = runner.test_dataloader
        self._own, self.results = [], None
        self._positions = sampled_positions(loader)
        self._classes = len(getattr(loader.dataset, 'metainfo', {}).get('classes', ()))
        self._ignored = _ignore_index(runner.test_loop.evaluator.metrics)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        for place, output in enumerate(outputs or []):
            index = self._positions[len(self._own)]
            luma = self._luma(data_batch['inputs'][place])
            self._own.append(self._keep(index, luma, output))

    def after_test(self, runner: Runner) -> None:
        # One item a process: what they hold may differ in length.
        parts = collect_results([self._own], get_world_size())
        if parts is not None:
            found = {result.index: result for part in parts for result in part}
            self.results = [found[index] for index in sorted(found)]

    def _luma(self, image: Any) -> float:
        if not isinstance(image, Tensor) or image.ndim != 3 or len(image) != 3:
            return math.nan
        if self.fill_color is not None:
            height, width = valid_size(image, self.fill_color)
            image = image[:, :height, :width]
        return float(mean_luma(host_to_rgb(image[None], self.input_order)))

    def _keep(self, index: int, luma: float, output: Any) -> ImageResult:
        path = str(getattr(output, 'img_path', '') or '')
        if 'pred_instances' in output and 'bboxes' in output.pred_instances:
            found = output.pred_instances
            boxes = _array(getattr(found.bboxes, 'tensor', found.bboxes)).reshape(-1, 4)
            boxes = np.concatenate([boxes, _array(found.scores).reshape(-1, 1)], axis=1)
            labels = _array(found.labels).astype(np.int64)
            return ImageResult(index, path, luma, boxes, labels)
        return ImageResult(index, path, luma, matrix=self._matrix(path or index, output))

    def _matrix(self, name: Any, output: Any) -> np.ndarray | None:
        if not all(
            key in output and 'data' in output.get(key) for key in ('pred_sem_seg', 'gt_sem_seg')
        ):
            return None
        found, true = output.pred_sem_seg.data, output.gt_sem_seg.data
        try:
            return confusion_matrix(found.squeeze(0), true.squeeze(0), self._classes, self._ignored)
        except DataError as error:
            raise DataError(f'{name}: {error}') from error


def sampled_positions(loader: Any) -> list[int]:
    """Positions in the data set of the images that this process tests, in order.

    Args:
        loader: a ``DataLoader`` whose sampler gives the same order each time it is
            asked, as MMEngine's do within an epoch.
    """
    return [int(getattr(item, 'index', item)) for batch in loader.batch_sampler for item in batch]


def _ignore_index(metrics: Iterable[Any]) -> int:
    found = (getattr(metric, 'ignore_index', None) for metric in metrics)
    return next((index for index in found if isinstance(index, int)), IGNORED)


def _array(values: Any) -> np.ndarray:
    if hasattr(values, 'detach'):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)
