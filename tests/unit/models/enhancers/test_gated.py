"""Bright images come out to the bit, dark ones as the enhancer made them."""

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from torch import Tensor

import sci_plugins
from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import BaseEnhancer, GammaEnhancer, GatedEnhancer, SCIEnhancer
from sci_plugins.models.enhancers.export import save_enhancer


class _Counting(BaseEnhancer):
    """Squares of 1 - image, and a count of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.calls = 0

    def forward(self, image: Tensor) -> Tensor:
        self.calls += 1
        return self.weight * (1 - image) ** 2


def _image(level: float, size: int = 12) -> Tensor:
    """Noise whose mean is about ``level``."""
    return (torch.rand(1, 3, size, size) * 2 * level).clamp(0, 1)


def test_bright_images_are_untouched_to_the_bit() -> None:
    image = _image(0.45)
    gated = GatedEnhancer(_Counting()).eval()
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            assert torch.equal(gated(image), image)


def test_dark_images_are_the_enhancer_s_to_the_bit() -> None:
    image, inner = _image(0.1), _Counting()
    assert torch.equal(GatedEnhancer(inner)(image), inner(image))


def test_between_it_is_the_mixture() -> None:
    image, inner = torch.full((1, 3, 6, 6), 0.205), GammaEnhancer(0.5)
    mixed = GatedEnhancer(inner)(image)
    torch.testing.assert_close(mixed, (image + inner(image)) / 2)


def test_one_image_does_not_decide_for_another() -> None:
    batch = torch.cat([_image(0.1), _image(0.45), torch.full((1, 3, 12, 12), 0.2)])
    gated = GatedEnhancer(GammaEnhancer())
    alone = torch.cat([gated(image[None]) for image in batch])
    # The gate's ramp multiplies the rounding of the mean luma by about 20.
    torch.testing.assert_close(gated(batch), alone, rtol=0, atol=1e-5)
    assert gated.gate(batch).tolist()[:2] == [1, 0]


def test_bright_images_cost_nothing_where_nobody_waits_for_a_gradient() -> None:
    image, gated = _image(0.45), GatedEnhancer(_Counting())
    inner: Any = gated.enhancer
    with torch.no_grad():
        gated(image)
    gated.requires_grad_(False)(image)
    assert inner.calls == 0
    # Parallel training needs every parameter in every graph.
    gated.requires_grad_(True)(image).sum().backward()
    assert inner.calls == 1
    assert inner.weight.grad.tolist() == [0]
    with torch.no_grad():
        gated(torch.cat([image, _image(0.1)]))
    assert inner.calls == 2


def test_a_traced_gate_still_decides() -> None:
    gated = GatedEnhancer(GammaEnhancer()).eval()
    with torch.no_grad():
        traced = torch.jit.trace(gated, _image(0.45))
        for level in (0.1, 0.2, 0.45):
            image = _image(level)
            torch.testing.assert_close(traced(image), gated(image))


def test_gradients_flow_through_image_and_gate() -> None:
    image = torch.full((1, 3, 2, 2), 0.2, dtype=torch.float64)
    image += torch.rand_like(image) * 0.01  # in the middle of the ramp
    gated = GatedEnhancer(GammaEnhancer(0.5))
    assert 0.2 < float(gated.gate(image)) < 0.8
    assert torch.autograd.gradcheck(gated, (image.requires_grad_(),))


def test_the_enhancer_learns_as_much_as_it_is_used() -> None:
    inner = _Counting()
    gradients = []
    for level in (0.1, 0.205, 0.45):
        inner.weight.grad = None
        image = torch.full((1, 3, 6, 6), level)
        GatedEnhancer(inner)(image).sum().backward()
        gradients.append(inner.weight.grad.item() / float(((1 - image) ** 2).sum()))  # type: ignore[union-attr]
    assert gradients == pytest.approx([1, 0.5, 0], rel=1e-4)


@pytest.mark.parametrize(
    ('limits', 'words'),
    [
        (dict(dark=-0.1), 'dark must be at least 0, got -0.1'),
        (dict(dark='0.1'), "dark must be a number of at least 0, got '0.1'"),
        (dict(dark=True), 'dark must be a number of at least 0, got True'),
        (dict(bright=1.5), 'bright must be at most 1, got 1.5'),
        (dict(bright=float('nan')), 'bright must be at least 0, got nan'),
        (dict(dark=0.3, bright=0.3), 'dark must be below bright, got 0.3 and 0.3'),
        (dict(bright=0.1), 'dark must be below bright'),
    ],
)
def test_limits_out_of_range(limits: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GatedEnhancer('gamma', **limits)
    assert f'GatedEnhancer: {words}' in str(caught.value)


def test_an_enhancer_that_is_none() -> None:
    with pytest.raises(ConfigError, match='unknown enhancer'):
        GatedEnhancer('nothing')


def _differing() -> SCIEnhancer:
    enhancer = SCIEnhancer()
    for value in enhancer.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.1)
    return enhancer


@pytest.mark.parametrize('prefix', ['', 'data_preprocessor.enhancer.'])
def test_a_checkpoint_of_a_model_without_the_gate_loads(prefix: str) -> None:
    donor = _differing()
    holder, gated = torch.nn.Module(), GatedEnhancer(SCIEnhancer())
    holder.data_preprocessor = torch.nn.Module()
    holder.data_preprocessor.enhancer = gated
    target = holder if prefix else gated
    target.load_state_dict(donor.state_dict(prefix=prefix), strict=True)
    found = gated.enhancer.state_dict()
    for name, value in donor.state_dict().items():
        assert torch.equal(found[name], value), name


def test_its_own_checkpoint_loads_and_a_foreign_one_is_refused() -> None:
    donor, gated = GatedEnhancer(_differing()), GatedEnhancer(SCIEnhancer())
    gated.load_state_dict(donor.state_dict(), strict=True)
    assert torch.equal(
        gated.enhancer.state_dict()['in_conv.weight'], donor.enhancer.state_dict()['in_conv.weight']
    )
    with pytest.raises(RuntimeError, match='Missing key'):
        gated.load_state_dict({'other': torch.zeros(1)}, strict=True)


def test_an_exported_gate_gives_its_sci_back(tmp_path: Any) -> None:
    donor = GatedEnhancer(_differing())
    path = tmp_path / 'gated.pth'
    save_enhancer(donor, path)
    twin = SCIEnhancer(weights=str(path))
    assert torch.equal(twin.in_conv.weight, donor.enhancer.in_conv.weight)  # type: ignore[union-attr]


def _every_value() -> np.ndarray:
    """An 8-bit image by day that holds every value in every channel."""
    values = np.arange(256, dtype=np.uint8)
    return np.stack([values, values[::-1], np.roll(values, 99)], -1).reshape(16, 16, 3)


def test_bright_8_bit_images_stay_as_they_are_on_every_way() -> None:
    image = _every_value()
    assert np.array_equal(sci_plugins.enhance(image, 'gated/gamma/3'), image)
    step = sci_plugins.EnhanceImage('gated/gamma/3')
    assert np.array_equal(step(dict(img=image.copy()))['img'], image)
    dark = image // 5
    found = sci_plugins.enhance(dark, 'gated/gamma/0.4')
    assert np.array_equal(found, sci_plugins.enhance(dark, 'gamma/0.4'))
    assert not np.array_equal(found, dark)


def test_in_front_of_a_host_a_bright_image_is_the_plain_host_s() -> None:
    pytest.importorskip('mmdet')
    image = torch.from_numpy(_every_value()).permute(2, 0, 1)
    host = dict(mean=[3.0, 4, 5], std=[50.0, 60, 70], bgr_to_rgb=True)
    plain, gated = (
        ROOT_MODELS.build(dict(type=kind, pad_size_divisor=32, **host, **keys))
        for kind, keys in (
            ('mmdet.DetDataPreprocessor', {}),
            ('sci_plugins.EnhancedDetDataPreprocessor', dict(enhancer='gated/gamma/3')),
        )
    )
    wanted, found = (each(dict(inputs=[image]))['inputs'] for each in (plain, gated))
    assert torch.equal(found, wanted)
