"""YuNet, a small face detector, as a frozen model to test enhancers with."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import nms

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.functional.yunet import YUNET_STRIDES, decode_yunet
from sci_plugins.models.detectors.onnx_network import OnnxNetwork
from sci_plugins.registry import MODELS

_NAME = 'YuNetONNX'
_OUTPUTS = tuple(f'{n}_{s}' for n in ('cls', 'obj', 'bbox') for s in YUNET_STRIDES)


@MODELS.register_module()
class YuNetONNX(BaseDetector):
    """YuNet from its ONNX file, as an mmdet detector of one class for tests only.

    A real detector that nobody here trained: it shows what an enhancer does to a
    model that has never seen its images. It has no parameters for PyTorch and gives
    no gradients, so nothing can be trained through it. onnxruntime runs it on the
    CPU. Its file is found when the model is built; there is no checkpoint beside it.

    The input is what the host's loader gives, BGR on the [0, 255] scale, without mean
    and deviation, padded with black to a multiple of 32 by the data preprocessor,
    hence after an enhancer in it.

    Args:
        weights: path of the ONNX file, with sizes left open.
        score_thr: boxes with a lower score are left out, in [0, 1].
        iou_threshold: of the non-maximum suppression, in (0, 1].
        max_per_img: the best so many are kept.
        data_preprocessor: as in mmdet; by default ``DetDataPreprocessor`` with
            ``pad_size_divisor=32``.
        init_cfg: as in mmdet; nothing is initialised.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is no ONNX file, or no YuNet.
        ConfigError: if an argument is out of range.

    Source: Wu et al., Machine Intelligence Research 2023;
    github.com/opencv/opencv_zoo, Apache-2.0 (``face_detection_yunet``).
    """

    def __init__(
        self,
        weights: str | os.PathLike[str],
        score_thr: float = 0.02,
        iou_threshold: float = 0.45,
        max_per_img: int = 1000,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        _check_settings(score_thr, iou_threshold, max_per_img)
        super().__init__(
            data_preprocessor=data_preprocessor
            or dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32),
            init_cfg=init_cfg,
        )
        self.score_thr = score_thr
        self.iou_threshold = iou_threshold
        self.max_per_img = max_per_img
        self.network = OnnxNetwork(weights, _NAME)
        missing = sorted(set(_OUTPUTS) - set(self.network.output_names))
        if missing:
            raise CheckpointError(
                f'{self.network.path} is no YuNet: it lacks the outputs '
                f'{", ".join(missing)}'
            )
        print_log(
            f'{_NAME}: {self.network.path.name} (sha256 {self.network.sha256[:8]}…)',
            logger='current',
            level=logging.INFO,
        )

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence, rescale: bool = True
    ) -> Sequence:
        """Detections of a batch.

        Args:
            batch_inputs: ``(N, 3, H, W)``, BGR on the [0, 255] scale, sizes multiples
                of 32.
            batch_data_samples: with ``img_shape`` and ``scale_factor``.
            rescale: give boxes in pixels of the original image.

        Returns:
            The samples, each with ``pred_instances``: ``bboxes`` ``(x1, y1, x2, y2)``
            inside the image, ``scores`` from the best down, ``labels`` 0.

        Raises:
            ConfigError: if the sizes are no multiples of 32, or those that the file
                was made for.
        """
        outputs = self._forward(batch_inputs)
        boxes, scores = decode_yunet(outputs, *batch_inputs.shape[-2:])
        results = [
            self._select(each, score, sample.metainfo, rescale)
            for each, score, sample in zip(boxes, scores, batch_data_samples, strict=True)
        ]
        return self.add_pred_to_datasample(batch_data_samples, results)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence) -> dict:
        """Raises ConfigError: the network is frozen."""
        raise ConfigError(
            f'{_NAME} is frozen, for tests only: an ONNX file gives no gradients'
        )

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Raises ConfigError: an ONNX file gives its outputs only."""
        raise ConfigError(f'{_NAME} gives boxes and no features')

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: Any = None
    ) -> dict[str, Tensor]:
        """The network's own outputs by name, in ``mode='tensor'``."""
        height, width = batch_inputs.shape[-2:]
        if height % 32 or width % 32:
            raise ConfigError(
                f'{_NAME} needs sizes that are multiples of 32, got {width}x{height}: '
                'set pad_size_divisor=32 in its data_preprocessor'
            )
        return self.network.run(batch_inputs)

    def _select(
        self, boxes: Tensor, scores: Tensor, meta: dict, rescale: bool
    ) -> InstanceData:
        good = scores >= self.score_thr
        boxes, scores = boxes[good], scores[good]
        kept = nms(boxes, scores, self.iou_threshold)[: self.max_per_img]
        boxes, scores = boxes[kept], scores[kept]
        height, width = meta['img_shape'][:2]
        limit = boxes.new_tensor([width, height, width, height])
        boxes = torch.minimum(boxes.clamp(min=0), limit)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # not in the padding
        boxes, scores = boxes[inside], scores[inside]
        if rescale:
            boxes = boxes / boxes.new_tensor(meta['scale_factor']).repeat(2)
        labels = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)


def _check_settings(score_thr: Any, iou_threshold: Any, max_per_img: Any) -> None:
    if not 0 <= score_thr <= 1:
        raise ConfigError(f'{_NAME}: score_thr must be in [0, 1], got {score_thr!r}')
    if not 0 < iou_threshold <= 1:
        raise ConfigError(
            f'{_NAME}: iou_threshold must be in (0, 1], got {iou_threshold!r}'
        )
    if not isinstance(max_per_img, int) or max_per_img < 1:
        raise ConfigError(
            f'{_NAME}: max_per_img must be an int of at least 1, got {max_per_img!r}'
        )
