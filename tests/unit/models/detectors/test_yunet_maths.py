"""Cells to boxes: against a plain loop, at hand-made values."""

import math

import pytest
import torch
from torch import Tensor

from sci_plugins.models.detectors.yunet import YUNET_STRIDES, decode_yunet


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
