"""The losses of SCI and of exposure against their formulas, pixel by pixel."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sci_plugins.functional.losses import (
    exposure_loss,
    fidelity_loss,
    guide_colors,
    smoothness_loss,
)

SHAPES = [(1, 3, 3, 3), (2, 3, 5, 8), (1, 3, 9, 3), (3, 3, 7, 6)]


def sci_loss(illumination: Tensor, image: Tensor, **options: Any) -> Tensor:
    """Loss of one stage, with the authors' weights."""
    smoothness = smoothness_loss(illumination, image, **options)
    return 1.5 * fidelity_loss(illumination, image) + smoothness


def make_pair(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.rand(shape, dtype=dtype) * 0.9 + 0.05, torch.rand(shape, dtype=dtype)


def naive_colors(image: Tensor, color: str) -> Tensor:
    """Pixel by pixel with the standard formulas, in the memory order asked for."""
    if color == 'official':
        triples = image.contiguous().flatten().tolist()
    else:
        triples = image.permute(0, 2, 3, 1).flatten().tolist()
    out = []
    for k in range(0, len(triples), 3):
        r, g, b = triples[k : k + 3]
        out += [
            0.257 * r + 0.564 * g + 0.098 * b + 16 / 255,
            -0.148 * r - 0.291 * g + 0.439 * b + 128 / 255,
            0.439 * r - 0.368 * g - 0.071 * b + 128 / 255,
        ]
    flat = torch.tensor(out, dtype=image.dtype)
    if color == 'official':
        return flat.view(image.shape)
    n, _, h, w = image.shape
    return flat.view(n, h, w, 3).permute(0, 3, 1, 2)


def naive_smoothness(illumination: Tensor, image: Tensor, sigma: float, color: str):
    """All 24 offsets, pixel by pixel."""
    y = naive_colors(image, color)
    n, _, h, w = image.shape
    total = 0.0
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            if (dy, dx) == (0, 0):
                continue
            terms = []
            for k in range(n):
                for r in range(max(0, -dy), min(h, h - dy)):
                    for c in range(max(0, -dx), min(w, w - dx)):
                        there = (k, slice(None), r + dy, c + dx)
                        here = (k, slice(None), r, c)
                        distance = float(((y[here] - y[there]) ** 2).sum())
                        weight = 2.718281828459045 ** (-distance / (2 * sigma**2))
                        step = (illumination[here] - illumination[there]).abs().sum()
                        terms.append(weight * float(step))
            total += sum(terms) / len(terms)
    return total


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('color', ['official', 'corrected'])
@pytest.mark.parametrize('sigma', [10.0, 0.1])
def test_smoothness_equals_the_sum_over_24_neighbours(shape, color, sigma):
    illumination, image = make_pair(*shape)
    got = smoothness_loss(illumination, image, sigma=sigma, color=color)
    want = naive_smoothness(illumination, image, sigma, color)
    assert float(got) == pytest.approx(want, rel=1e-12)


def test_the_two_color_modes_differ_where_the_weights_matter():
    illumination, image = make_pair(1, 3, 6, 6)
    official = smoothness_loss(illumination, image, sigma=0.1, color='official')
    corrected = smoothness_loss(illumination, image, sigma=0.1, color='corrected')
    assert abs(float(official / corrected) - 1) > 1e-3


def test_corrected_colors_of_known_pixels():
    image = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=torch.float64)
    got = guide_colors(image.T.reshape(1, 3, 1, 3), 'corrected')[0, :, 0].T
    # BT.601 has (235, 128, 128) for white: the authors' matrix has 0.564 for 0.504.
    want = torch.tensor([[16, 128, 128], [235 + 15.3, 128, 128], [82, 90, 240]]) / 255
    torch.testing.assert_close(got, want.double(), atol=0.5 / 255, rtol=0)


@pytest.mark.parametrize('color', ['official', 'corrected'])
def test_colors_do_not_depend_on_memory_layout(color):
    _, image = make_pair(2, 3, 4, 6)
    other = image.to(memory_format=torch.channels_last)
    torch.testing.assert_close(guide_colors(image, color), guide_colors(other, color))


def test_a_constant_illumination_is_smooth():
    _, image = make_pair(1, 3, 6, 6)
    assert float(smoothness_loss(torch.full_like(image, 0.3), image)) == 0


def test_an_edge_of_the_image_forgives_an_edge_of_the_illumination():
    flat = torch.full((1, 3, 6, 8), 0.2, dtype=torch.float64)
    edge = flat.clone()
    edge[..., 4:] = 0.9
    at_edge = smoothness_loss(edge, edge, sigma=0.1, color='corrected')
    across_flat = smoothness_loss(edge, flat, sigma=0.1, color='corrected')
    assert float(at_edge) < 0.01 * float(across_flat)


def test_fidelity_is_the_mean_squared_error():
    illumination, image = make_pair(2, 3, 4, 5)
    want = torch.nn.functional.mse_loss(illumination, image)
    torch.testing.assert_close(fidelity_loss(illumination, image), want)
    assert float(want) > 0


def test_sci_loss_weighs_fidelity_by_one_and_a_half():
    pair = make_pair(2, 3, 4, 5)
    options = dict(sigma=0.2, color='corrected')
    want = 1.5 * fidelity_loss(*pair) + smoothness_loss(*pair, **options)
    torch.testing.assert_close(sci_loss(*pair, **options), want)


@pytest.mark.parametrize('color', ['official', 'corrected'])
def test_gradients_of_both_inputs(color):
    pair = [tensor.requires_grad_() for tensor in make_pair(1, 3, 4, 5)]

    def loss(*tensors: Tensor) -> Tensor:
        return sci_loss(*tensors, sigma=0.3, color=color)

    assert torch.autograd.gradcheck(loss, pair)
    for gradient in torch.autograd.grad(smoothness_loss(*pair, 0.3, color), pair):
        assert float(gradient.abs().max()) > 1e-3


def test_equal_neighbours_have_no_gradient():
    """The kink of the absolute value: PyTorch's choice there is zero."""
    illumination = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    smoothness_loss(illumination, torch.rand(1, 3, 4, 4)).backward()
    assert not illumination.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_keeps_dtype_and_device_and_arguments(dtype, device):
    pair = [tensor.to(device, dtype) for tensor in make_pair(1, 3, 6, 5)]
    before = [tensor.clone() for tensor in pair]
    result = sci_loss(*pair)
    assert result.dtype == dtype
    assert result.device.type == device.type
    assert result.shape == ()
    assert all(torch.equal(a, b) for a, b in zip(pair, before, strict=True))
    want = sci_loss(*(tensor.double() for tensor in pair))
    tolerance = {torch.float16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    assert float(result) == pytest.approx(float(want), rel=tolerance)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_smoothness_of_half_precision_is_computed_in_float32(dtype):
    """A sum of small terms, of which half precision would lose the most."""
    pair = [tensor.to(dtype) for tensor in make_pair(1, 3, 60, 80)]
    want = smoothness_loss(*(tensor.double() for tensor in pair))
    got = smoothness_loss(*pair)
    assert got.dtype == dtype
    assert float(got) == pytest.approx(float(want), rel=torch.finfo(dtype).eps)


def test_autocast_does_not_lower_the_precision():
    pair = [tensor.float() for tensor in make_pair(1, 3, 6, 7)]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        got = smoothness_loss(*pair, sigma=0.1)
    torch.testing.assert_close(got, smoothness_loss(*pair, sigma=0.1))


@pytest.mark.parametrize('context', [torch.no_grad, torch.inference_mode])
def test_without_gradients(context):
    pair = make_pair(1, 3, 6, 7)
    want = sci_loss(*pair)
    with context():
        got = sci_loss(*pair)
    assert float(got) == pytest.approx(float(want))
    assert not got.requires_grad


@pytest.mark.parametrize('shape', [(1, 3, 2, 8), (1, 3, 8, 2)])
def test_too_small_for_the_neighbourhood(shape):
    with pytest.raises(ValueError, match=r'at least 3 x 3 pixels, got \(1, 3'):
        smoothness_loss(*make_pair(*shape))


@pytest.mark.parametrize('function', [fidelity_loss, smoothness_loss, sci_loss])
def test_refuses_other_shapes_and_dtypes(function):
    image = torch.rand(1, 3, 6, 6)
    with pytest.raises(ValueError, match='same shape'):
        function(image, torch.rand(1, 3, 6, 7))
    with pytest.raises(ValueError, match=r'illumination must have shape'):
        function(image[0], image)
    with pytest.raises(ValueError, match=r'image must have shape'):
        function(image, torch.rand(1, 4, 6, 6))
    with pytest.raises(TypeError, match='image must be float'):
        function(image, (image * 255).byte())


def test_refuses_wrong_options():
    pair = make_pair(1, 3, 6, 6)
    with pytest.raises(ValueError, match='sigma must be positive, got 0'):
        smoothness_loss(*pair, sigma=0)
    with pytest.raises(ValueError, match=r"'official', 'corrected'.*'lab'"):
        smoothness_loss(*pair, color='lab')


def flat(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 4, 5).clone()


@pytest.mark.parametrize(
    ('image', 'enhanced', 'wanted'),
    [
        (0.1, 0.45, 0.0),  # a dark image has reached the target
        (0.1, 0.25, 0.04),
        (0.1, 0.65, 0.04),  # too bright counts as much as too dark
        (0.7, 0.7, 0.0),  # a bright one keeps its brightness
        (0.7, 0.8, 0.01),
        (0.7, 0.45, 0.0625),  # and is not darkened to the target
    ],
)
def test_value(image: float, enhanced: float, wanted: float) -> None:
    found = exposure_loss(flat(enhanced), flat(image))
    torch.testing.assert_close(found, torch.tensor(wanted), rtol=0, atol=1e-6)


def test_each_image_counts_by_itself() -> None:
    """Two errors of opposite sign do not cancel."""
    found = exposure_loss(flat(0.35, 0.55), flat(0.1, 0.1))
    torch.testing.assert_close(found, torch.tensor(0.01), rtol=0, atol=1e-6)


def test_gradcheck() -> None:
    image = torch.rand(2, 3, 4, 4, dtype=torch.float64) * 0.2
    enhanced = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: exposure_loss(x, image), enhanced)
    (gradient,) = torch.autograd.grad(exposure_loss(enhanced, image), enhanced)
    assert gradient.abs().min() > 0


def test_bad_input() -> None:
    with pytest.raises(
        ValueError, match=r'enhanced and image must have the same shape, got \(1, 3, 4, 5\)'
    ):
        exposure_loss(flat(0.1), flat(0.1, 0.2))
    with pytest.raises(ValueError, match=r'enhanced must have shape \(N, 3, H, W\)'):
        exposure_loss(torch.rand(3, 4, 4), torch.rand(3, 4, 4))
    for target in (0.0, 1.0, float('nan')):
        with pytest.raises(ValueError, match='target must be in'):
            exposure_loss(flat(0.1), flat(0.1), target)
