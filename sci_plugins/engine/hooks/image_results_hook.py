"""Keep what a model found in each test image, whichever evaluator the config has."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from mmengine.dist import collect_results, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from sci_plugins.engine.hooks.sample_keeper_hook import image_at
from sci_plugins.errors import DataError
from sci_plugins.evaluation.records import ImageRecords, ImageSet, RunInfo, find_kind
from sci_plugins.functional.host_image import host_to_rgb, valid_size
from sci_plugins.functional.image_quality import LUMA
from sci_plugins.functional.retinex import mean_luma
from sci_plugins.registry import HOOKS


@dataclass(frozen=True)
class ImageResult:
    """What the model found in one test image."""

    index: int  # position in the test set
    path: str  # image file; empty if the samples have none
    #: mean BT.601 luma in [0, 1] of the network's input, unenhanced and unpadded; NaN if not RGB
    luma: float
    kept: Any = None  # what the class of records keeps; ``None`` without ground truth or class


@HOOKS.register_module()
@dataclass(eq=False)
class ImageResultsHook(Hook):
    """Collects the results of a test run image by image.

    After the run ``results`` holds one :class:`ImageResult` per image of the set, in its order, on
    the main process, and ``None`` on the others; an image that a sampler repeats appears once.
    ``kind`` is the class of ``RECORDS`` that accepts
    the model's outputs, ``None`` if none does; ``run`` is what it may look at.

    Args:
        input_order: channel order that the pipeline loads, ``'bgr'`` or ``'rgb'``.
        fill_color: padding colour of the pipeline, in that order; ``None`` without padding.
        input_max: white of images that are not uint8.

    Raises:
        DataError: naming the image, if a prediction does not fit the ground truth.
    """

    priority = 'VERY_LOW'

    input_order: str = 'bgr'
    fill_color: Sequence[float] | None = None
    input_max: float = 255.0

    def __post_init__(self) -> None:
        self.results: list[ImageResult] | None = None
        self.kind: type[ImageRecords] | None = None
        self.run = RunInfo(ImageSet([]))
        self._own: list[ImageResult] = []
        self._positions: list[int] = []

    def before_test(self, runner: Runner) -> None:
        loader = runner.test_dataloader
        self._own, self.results = [], None
        self._positions = sampled_positions(loader)
        self.run = RunInfo(ImageSet(loader.dataset), runner.test_loop.evaluator.metrics)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any, outputs: Any
    ) -> None:
        for place, output in enumerate(outputs or []):
            if not self._own:
                self.kind = find_kind(output, self.run)
            luma = self._luma(image_at(data_batch, place))
            self._own.append(self._keep(self._positions[len(self._own)], luma, output))

    def after_test(self, runner: Runner) -> None:
        # One list per process, because their lengths may differ.
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
        if image.dtype == torch.uint8 and image.is_cpu:  # a twentieth of the time
            weights = LUMA if self.input_order == 'rgb' else LUMA[::-1]
            means = [cv2.mean(channel)[0] for channel in image.numpy()]
            return sum(map(operator.mul, weights, means)) / 255
        return float(mean_luma(host_to_rgb(image[None], self.input_order, self.input_max)))

    def _keep(self, index: int, luma: float, output: Any) -> ImageResult:
        path = str(getattr(output, 'img_path', '') or '')
        try:
            kept = None if self.kind is None else self.kind.keep(output, self.run)
        except DataError as error:
            raise DataError(f'{path or index}: {error}') from error
        return ImageResult(index, path, luma, kept)


def sampled_positions(loader: Any) -> list[int]:
    """Positions of this process's images, if the sampler repeats its order, as MMEngine's do."""
    return [int(getattr(item, 'index', item)) for batch in loader.batch_sampler for item in batch]
