"""YuNet as a host's detector with OpenCV's numbers; its decoding; ONNX files."""

import copy
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from sci_plugins.apis.attach import attach
from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.detectors.yunet import YUNET_STRIDES, decode_yunet
from sci_plugins.models.enhancers import BaseEnhancer
from sci_plugins.registry import MODELS

pytest.importorskip('onnxruntime')
pytest.importorskip('mmdet')
NAME = 'sci_plugins.YuNetONNX'


@pytest.fixture(scope='module')
def folder(shared_data: Path) -> Path:
    return shared_data / 'data'


def build(folder: Path, **settings: Any) -> Any:
    config = dict(type=NAME, weights=str(folder / 'yunet/yunet_n_dynamic.onnx'))
    return MODELS.build(config | settings).eval()


def batch(image: np.ndarray, scale: float = 1.0) -> dict[str, Any]:
    """What a pipeline gives for an image that it enlarged by ``scale``."""
    from mmdet.structures import DetDataSample

    height, width = image.shape[:2]
    meta = dict(
        img_shape=(height, width),
        ori_shape=(round(height / scale), round(width / scale)),
        scale_factor=(scale, scale),
    )
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    return dict(inputs=[tensor], data_samples=[DetDataSample(metainfo=meta)])


def photographs(folder: Path) -> list[np.ndarray]:
    """Of 416x416, and two whose sizes are no multiples of 32."""
    wider = sorted((folder / 'wider/images').iterdir())[:4]
    others = sorted((folder / 'facemask/images').iterdir())[:2]
    return [cv2.imread(str(path)) for path in (*wider, *others)]


def test_boxes_and_scores_are_opencv_s(folder: Path) -> None:
    """All boxes above a score, before any suppression, whose IoU OpenCV rounds."""
    model = build(folder, score_thr=0.3, iou_threshold=1.0)
    file = str(folder / 'yunet/yunet_n_640_640.onnx')
    seen = 0
    for image in photographs(folder):
        height, width = image.shape[:2]
        oracle = cv2.FaceDetectorYN.create(file, '', (width, height), 0.3, 1.0, 5000)
        faces = oracle.detect(image)[1]
        corners = np.hstack([faces[:, :2], faces[:, :2] + faces[:, 2:4]])
        corners = corners.clip(0, [width, height, width, height])
        found = model.test_step(batch(image))[0].pred_instances
        ours = found.bboxes.numpy()
        ours_order = np.lexsort(ours.round(3).T)
        order = np.lexsort(corners.round(3).T)
        assert len(ours) == len(corners)
        np.testing.assert_allclose(ours[ours_order], corners[order], atol=1e-2)
        np.testing.assert_allclose(found.scores.numpy(), np.sort(faces[:, 14])[::-1], atol=1e-4)
        seen += len(faces)
    assert seen > 100
    assert any(side % 32 for image in photographs(folder) for side in image.shape[:2])


def test_suppression_leaves_no_pair_that_overlaps(folder: Path) -> None:
    from torchvision.ops import box_iou

    image = photographs(folder)[0]
    every = build(folder, score_thr=0.3, iou_threshold=1.0).test_step(batch(image))
    some = build(folder, score_thr=0.3, iou_threshold=0.45).test_step(batch(image))
    boxes = some[0].pred_instances.bboxes
    assert 0 < len(boxes) < len(every[0].pred_instances)
    assert float((box_iou(boxes, boxes) - torch.eye(len(boxes))).max()) <= 0.45
    best = build(folder, max_per_img=3).test_step(batch(image))[0].pred_instances
    assert torch.equal(best.scores, some[0].pred_instances.scores[:3])
    assert best.labels.tolist() == [0, 0, 0]


def test_boxes_are_in_pixels_of_the_original(folder: Path) -> None:
    image, model = photographs(folder)[0], build(folder)
    plain = model.test_step(batch(image))[0].pred_instances
    enlarged = model.test_step(batch(image, scale=2.0))[0].pred_instances
    torch.testing.assert_close(enlarged.bboxes * 2, plain.bboxes)


def test_nothing_is_found_in_the_padding(folder: Path) -> None:
    """A batch of two sizes: the small one lies in a large black frame."""
    image = photographs(folder)[0]
    small = image[:100, :70]
    both, one = batch(image), batch(np.ascontiguousarray(small))
    data = {key: both[key] + one[key] for key in both}
    found = build(folder, score_thr=0.0).test_step(data)[1].pred_instances.bboxes
    assert len(found) > 0
    assert float(found.min()) >= 0
    assert float(found[:, 2].max()) <= 70
    assert float(found[:, 3].max()) <= 100
    assert bool((found[:, 2:] > found[:, :2]).all())


class _Black(BaseEnhancer):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * 0


def test_an_enhancer_goes_in_front_as_with_any_host(folder: Path) -> None:
    image, model = photographs(folder)[0], build(folder, score_thr=0.3)
    assert len(model.test_step(batch(image))[0].pred_instances) > 0
    attach(model, _Black())
    assert len(model.test_step(batch(image))[0].pred_instances) == 0
    by_config = build(
        folder,
        data_preprocessor=dict(
            type='sci_plugins.EnhancedDetDataPreprocessor',
            enhancer='gamma/0.5',
            pad_size_divisor=32,
        ),
    )
    attach(model, 'gamma/0.5')
    model.score_thr = by_config.score_thr
    one, two = (each.test_step(batch(image))[0] for each in (model, by_config))
    assert torch.equal(one.pred_instances.bboxes, two.pred_instances.bboxes)


def test_a_copy_is_a_model_too(folder: Path) -> None:
    image, model = photographs(folder)[0], build(folder)
    twin = copy.deepcopy(model)
    one, two = (each.test_step(batch(image))[0] for each in (model, twin))
    assert torch.equal(one.pred_instances.bboxes, two.pred_instances.bboxes)
    assert list(model.parameters()) == []


def test_nothing_trains_it(folder: Path) -> None:
    model = build(folder)
    with pytest.raises(ConfigError, match='frozen'):
        model(torch.rand(1, 3, 32, 32), [], mode='loss')
    with pytest.raises(ConfigError, match='no features'):
        model.extract_feat(torch.rand(1, 3, 32, 32))


def test_a_size_that_was_not_padded_names_the_setting(folder: Path) -> None:
    model = build(folder, data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
    image = np.zeros((40, 64, 3), np.uint8)
    with pytest.raises(ConfigError, match=r'got 64x40: set pad_size_divisor=32'):
        model.test_step(batch(image))


@pytest.mark.parametrize(
    ('setting', 'value'),
    [
        ('score_thr', -0.1),
        ('score_thr', 1.5),
        ('iou_threshold', 0),
        ('iou_threshold', 2),
        ('max_per_img', 0),
        ('max_per_img', 2.5),
    ],
)
def test_arguments_out_of_range(setting: str, value: Any) -> None:
    kind: Any = MODELS.get(NAME)
    with pytest.raises(ConfigError, match=f'YuNetONNX: {setting} must be'):
        kind(weights='', **{setting: value})


def test_another_network_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sci_plugins.models.enhancers.onnx import OnnxNetwork

    monkeypatch.setattr(OnnxNetwork, 'output_names', ['cls_8', 'labels'])
    with pytest.raises(CheckpointError, match=r'is not YuNet: it lacks .* bbox_16'):
        build(folder)


def _maps(height: int, width: int, batch: int = 2) -> dict[str, Tensor]:
    maps = {}
    for stride in YUNET_STRIDES:
        cells = (height // stride) * (width // stride)
        maps[f'cls_{stride}'] = torch.rand(batch, cells, 1) * 1.2 - 0.1  # beyond [0, 1]
        maps[f'obj_{stride}'] = torch.rand(batch, cells, 1) * 1.2 - 0.1
        maps[f'bbox_{stride}'] = torch.randn(batch, cells, 4)
    return maps


def test_a_plain_loop_gives_the_same() -> None:
    height, width = 64, 96  # not square: rows and columns must not be mixed up
    maps = _maps(height, width)
    boxes, scores = decode_yunet(maps, height, width)
    assert boxes.shape == (2, 96 + 24 + 6, 4)
    at = 0
    for stride in (8, 16, 32):
        for row in range(height // stride):
            for column in range(width // stride):
                cell = row * (width // stride) + column
                dx, dy, log_w, log_h = maps[f'bbox_{stride}'][1, cell].tolist()
                x, y = (column + dx) * stride, (row + dy) * stride
                w, h = math.exp(log_w) * stride, math.exp(log_h) * stride
                wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                assert boxes[1, at].tolist() == pytest.approx(wanted, abs=1e-3)
                cls, obj = (
                    min(max(maps[f'{name}_{stride}'][1, cell, 0].item(), 0), 1)
                    for name in ('cls', 'obj')
                )
                assert scores[1, at].item() == pytest.approx(math.sqrt(cls * obj))
                at += 1
    assert at == boxes.shape[1]


def test_dtype_is_kept() -> None:
    maps = {name: value.double() for name, value in _maps(32, 32).items()}
    boxes, scores = decode_yunet(maps, 32, 32)
    assert boxes.dtype == scores.dtype == torch.float64


def test_maps_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r'stride 8 must have 32 cells .* 64x32, got 16'):
        decode_yunet(_maps(32, 32), 32, 64)
