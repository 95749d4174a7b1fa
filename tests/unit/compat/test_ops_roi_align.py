"""RoIAlign against samples taken one by one, and against torchvision."""

import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

SIZE = (2, 3)
SCALE = 0.5
ROIS = torch.tensor(
    [
        [0, 1.3, 2.1, 9.7, 12.4],
        [1, 4.2, 0.6, 17.1, 7.9],
        [1, -6.0, -3.5, 5.2, 4.1],
        [0, 9.4, 10.1, 25.0, 30.0],
        [0, 3.2, 5.1, 3.7, 5.9],
    ],
    dtype=torch.float64,
)


def sample(plane: Tensor, y: float, x: float) -> Tensor:
    """Bilinear sample of ``plane`` ``(C, H, W)``; the border pixel reaches 1 further."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.new_zeros(plane.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = plane[:, top, left] * (1 - across) + plane[:, top, right] * across
    lower = plane[:, bottom, left] * (1 - across) + plane[:, bottom, right] * across
    return upper * (1 - down) + lower * down


def slow_cell(
    plane: Tensor, top: float, left: float, cell: tuple[float, float], ratio: int
) -> Tensor:
    """Mean of the samples of one cell."""
    rows, columns = (ratio or math.ceil(side) for side in cell)
    samples = [
        sample(plane, top + (row + 0.5) * cell[0] / rows, left + (column + 0.5) * cell[1] / columns)
        for row in range(rows)
        for column in range(columns)
    ]
    return torch.stack(samples).mean(dim=0)


def slow_roi_align(features: Tensor, rois: Tensor, ratio: int, aligned: bool) -> Tensor:
    """RoIAlign as its paper says it, for ``SIZE`` cells at ``SCALE``."""
    regions = []
    for image, *corners in rois.tolist():
        left, top, right, bottom = (c * SCALE - 0.5 * aligned for c in corners)
        height, width = bottom - top, right - left
        if not aligned:
            height, width = max(height, 1.0), max(width, 1.0)
        cell = (height / SIZE[0], width / SIZE[1])
        cells = [
            slow_cell(features[int(image)], top + i * cell[0], left + j * cell[1], cell, ratio)
            for i in range(SIZE[0])
            for j in range(SIZE[1])
        ]
        regions.append(torch.stack(cells, dim=1).unflatten(1, SIZE))
    return torch.stack(regions)


def random_features(**options: object) -> Tensor:
    return torch.randn(2, 3, 11, 8, **{'dtype': torch.float64, **options})


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
def test_against_slow_samples(ops: ModuleType, ratio: int, aligned: bool) -> None:
    features = random_features(requires_grad=True)
    expected = slow_roi_align(features, ROIS, ratio, aligned)
    pooled = ops.RoIAlign(SIZE, SCALE, ratio, 'avg', aligned)(features, ROIS)
    torch.testing.assert_close(pooled, expected)
    cotangent = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(pooled, features, cotangent)
    (expected_gradient,) = torch.autograd.grad(expected, features, cotangent)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.parametrize('aligned', [True, False])
def test_gradcheck(ops: ModuleType, aligned: bool) -> None:
    features = torch.randn(2, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.3, 2.1, 7.7, 9.4], [1, 0.2, 0.6, 6.1, 5.9]]).double()
    align = ops.RoIAlign(SIZE, SCALE, 0, 'avg', aligned)
    assert torch.autograd.gradcheck(lambda x: align(x, rois), features)


def test_against_torchvision(ops: ModuleType, device: torch.device) -> None:
    from torchvision.ops import roi_align

    features = random_features(dtype=torch.float32).to(device)
    rois = ROIS.float().to(device)
    pooled = ops.roi_align(features, rois, SIZE, SCALE, 2)
    torch.testing.assert_close(pooled, roi_align(features, rois, SIZE, SCALE, 2, True))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(ops: ModuleType, dtype: torch.dtype) -> None:
    features = random_features(dtype=torch.float32).to(dtype).requires_grad_()
    rois = ROIS.to(dtype)
    pooled = ops.roi_align(features, rois, SIZE, SCALE, 2)
    precise = features.detach().double().requires_grad_()
    expected = slow_roi_align(precise, rois.double(), 2, True)
    assert pooled.dtype == dtype
    tolerance = dict(rtol=1e-2, atol=1e-2, check_dtype=False)
    torch.testing.assert_close(pooled, expected, **tolerance)
    pooled.sum().backward()
    expected.sum().backward()
    assert features.grad is not None
    torch.testing.assert_close(features.grad, precise.grad, **tolerance)


def test_output_is_overwritten_and_gradient_is_added(extension: ModuleType) -> None:
    features, rois = random_features(), ROIS
    unused = features.new_zeros(0)
    window = dict(
        aligned_height=SIZE[0],
        aligned_width=SIZE[1],
        spatial_scale=SCALE,
        sampling_ratio=2,
        pool_mode=1,
        aligned=True,
    )
    output = features.new_full((5, 3, *SIZE), 7)
    extension.roi_align_forward(features, rois, output, unused, unused, **window)
    torch.testing.assert_close(output, slow_roi_align(features, rois, 2, True))
    fresh, added = torch.zeros_like(features), torch.ones_like(features)
    for gradient in (fresh, added):
        extension.roi_align_backward(output, rois, unused, unused, gradient, **window)
    assert fresh.abs().sum() > 0
    torch.testing.assert_close(added, fresh + 1)


def test_no_regions(ops: ModuleType) -> None:
    features = random_features(requires_grad=True)
    pooled = ops.roi_align(features, ROIS[:0], SIZE, SCALE, 0)
    assert pooled.shape == (0, 3, *SIZE)
    pooled.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_maximum_pooling_raises_the_line(ops: ModuleType) -> None:
    with pytest.raises(NotImplementedError, match=r"^mmcv op roi_align with pool_mode='max'"):
        ops.roi_align(random_features(), ROIS, SIZE, SCALE, 2, 'max')
