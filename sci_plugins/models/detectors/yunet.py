"""YuNet, a small frozen face detector to test enhancers with: an ONNX file, run on the CPU."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmdet.models.detectors import BaseDetector
from mmengine.logging import print_log
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import nms

from sci_plugins.errors import CheckpointError, ConfigError, check_above, check_at_least
from sci_plugins.models.enhancers.onnx import OnnxNetwork
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.registry import MODELS
from sci_plugins.utils.folders import PathLike

#: Pixels between two neighbouring cells of each of its three maps.
YUNET_STRIDES = (8, 16, 32)


def decode_yunet(outputs: Mapping[str, Tensor], height: int, width: int) -> tuple[Tensor, Tensor]:
    """Boxes and scores of all cells of YuNet's maps.

    With ``(c, r)`` the column and row of a cell, ``s`` its map's stride and ``b`` its four numbers:
    centre ``(c + b0, r + b1) * s``, size ``exp(b2, b3) * s``, score ``sqrt(class * object)``, with
    both probabilities clamped to [0, 1].

    Args:
        outputs: ``cls_S``, ``obj_S`` ``(N, cells, 1)`` and ``bbox_S`` ``(N, cells, 4)`` for each
            stride S of 8, 16 and 32, cells row by row; ValueError for another number of cells.
        height, width: of the network's input, in pixels, multiples of 32.

    Returns:
        Boxes ``(N, all cells, 4)`` as ``(x1, y1, x2, y2)`` in pixels of the input, not clipped, and
        scores ``(N, all cells)`` in [0, 1].

    Source: as of :class:`YuNetONNX`, section 3; the results agree with OpenCV's ``FaceDetectorYN``.
    """
    boxes, scores = [], []
    for stride in YUNET_STRIDES:
        box = outputs[f'bbox_{stride}']
        rows, columns = height // stride, width // stride
        if box.shape[1] != rows * columns:
            wish = f'{rows * columns} cells for an input of {width}x{height}'
            raise ValueError(f'the map of stride {stride} must have {wish}, got {box.shape[1]}')
        # (column, row) of each cell, row by row.
        cells = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(1)
        center = (box[..., :2] + cells.to(box)) * stride
        half = box[..., 2:].exp() * (stride / 2)
        boxes.append(torch.cat([center - half, center + half], dim=-1))
        cls, obj = (outputs[f'{name}_{stride}'][..., 0] for name in ('cls', 'obj'))
        scores.append((cls.clamp(0, 1) * obj.clamp(0, 1)).sqrt())
    return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)


_NAME = 'YuNetONNX'
_ADVICE = "; set model.weights, or its config's environment variable, such as SCI_PLUGINS_DATA"


@MODELS.register_module()
class YuNetONNX(BaseDetector):
    """YuNet from its ONNX file, as an mmdet detector of one class, for tests only.

    Nothing can be trained through it, and it needs no checkpoint but its ONNX file.

    The input is the host's, BGR on the [0, 255] scale, not normalised. The data preprocessor pads
    it with black to a multiple of 32, after an enhancer in it.

    Args:
        weights: path of the ONNX file, exported with dynamic sizes.
        score_thr: drop boxes with a lower score, in [0, 1].
        iou_threshold: of the non-maximum suppression, in (0, 1].
        max_per_img: keep at most this many boxes, the best ones.
        data_preprocessor: by default ``DetDataPreprocessor`` with ``pad_size_divisor=32``.
        init_cfg: as in mmdet, without effect.

    Raises:
        MissingDependencyError: if onnxruntime is not installed.
        FileNotFoundError: if there is no such file.
        CheckpointError: if the file is not an ONNX file, or not YuNet.
        ConfigError: if an argument is out of range.

    Source: Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence
    Research 2023; github.com/opencv/opencv_zoo, Apache-2.0 (``face_detection_yunet``).
    """

    def __init__(
        self,
        weights: PathLike,
        score_thr: float = 0.02,
        iou_threshold: float = 0.45,
        max_per_img: int = 1000,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        check_above(0, _NAME, iou_threshold=iou_threshold)
        check_at_least(0.0, _NAME, most=1, score_thr=score_thr, iou_threshold=iou_threshold)
        check_at_least(1, _NAME, max_per_img=max_per_img)
        padding = dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32)
        super().__init__(data_preprocessor=data_preprocessor or padding, init_cfg=init_cfg)
        self.score_thr, self.iou_threshold, self.max_per_img = score_thr, iou_threshold, max_per_img
        # As other detectors say it.
        self.test_cfg = dict(nms=dict(iou_threshold=iou_threshold), max_per_img=max_per_img)
        self.network = OnnxNetwork(weights, _NAME, _ADVICE)
        wanted = {f'{name}_{s}' for name in ('cls', 'obj', 'bbox') for s in YUNET_STRIDES}
        path, missing = self.network.path, sorted(wanted - set(self.network.output_names))
        if missing:
            raise CheckpointError(f'{path} is not YuNet: it lacks the outputs {", ".join(missing)}')
        print_log(f'{_NAME}: {path.name} (sha256 {file_sha256(path)[:8]}…)', 'current')

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: Sequence, rescale: bool = True
    ) -> Sequence:
        """Detections of a batch: the samples, each with ``pred_instances``.

        These are ``bboxes`` ``(x1, y1, x2, y2)`` inside the image, in pixels of the original one
        with ``rescale``, ``scores`` in descending order, and ``labels`` 0. Images are ``(N, 3, H,
        W)``, BGR in [0, 255], H and W multiples of 32; samples have ``img_shape`` and
        ``scale_factor``. ConfigError for another size.
        """
        boxes, scores = decode_yunet(self._forward(batch_inputs), *batch_inputs.shape[-2:])
        triples = zip(boxes, scores, batch_data_samples, strict=True)
        results = [self._select(b, s, sample.metainfo, rescale) for b, s, sample in triples]
        return self.add_pred_to_datasample(batch_data_samples, results)

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence) -> dict:
        """Raises ConfigError: the network is frozen."""
        raise ConfigError(f'{_NAME} is frozen, for tests only: an ONNX file has no gradients')

    def extract_feat(self, batch_inputs: Tensor) -> Any:
        """Raises ConfigError: an ONNX file has only its outputs."""
        raise ConfigError(f'{_NAME} has only boxes, no features')

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> dict[str, Tensor]:
        height, width = batch_inputs.shape[-2:]
        if height % 32 or width % 32:
            advice = 'set pad_size_divisor=32 in its data_preprocessor'
            wish, got = 'sizes that are multiples of 32', f'{width}x{height}'
            raise ConfigError(f'{_NAME} needs {wish}, got {got}: {advice}')
        return self.network.run(batch_inputs)

    def _select(self, boxes: Tensor, scores: Tensor, meta: dict, rescale: bool) -> InstanceData:
        good = scores >= self.score_thr
        boxes, scores = boxes[good], scores[good]
        kept = nms(boxes, scores, self.iou_threshold)[: self.max_per_img]
        boxes, scores = boxes[kept], scores[kept]
        height, width = meta['img_shape'][:2]
        boxes = torch.minimum(boxes.clamp(min=0), boxes.new_tensor([width, height, width, height]))
        inside = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # not in the padding
        boxes, scores = boxes[inside], scores[inside]
        if rescale:
            boxes = boxes / boxes.new_tensor(meta['scale_factor']).repeat(2)
        labels = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
        return InstanceData(bboxes=boxes, scores=scores, labels=labels)
