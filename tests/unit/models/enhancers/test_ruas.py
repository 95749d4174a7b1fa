"""The unrolled estimator against its formula, finite differences, and wrong files."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.errors import CheckpointError, ConfigError
from sci_plugins.models.enhancers import RUASEnhancer, RUASNetEnhancer, SCIEnhancer
from sci_plugins.models.enhancers.export import save_enhancer
from sci_plugins.models.enhancers.ruas import local_maximum
from sci_plugins.models.learners import SelfCalibratedLearner


def _with_large_weights(**settings: int) -> RUASEnhancer:
    """Every layer shows, and the illumination is off its clamp."""
    enhancer = RUASEnhancer(**settings)
    generator = torch.Generator().manual_seed(2)
    for value in enhancer.parameters():
        value.data = torch.randn(value.shape, generator=generator) * 0.2
    enhancer.light_conv.bias.data.fill_(-1.5)
    return enhancer.double().eval()


def _dark(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64) * 0.3 + 0.02


def _formula(state: dict[str, Tensor], image: Tensor, iterations: int) -> Tensor:
    def conv(name: str, value: Tensor) -> Tensor:
        return F.conv2d(value, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)

    enhanced = image
    for _ in range(iterations):
        guess = F.max_pool2d(enhanced, 3, 1, 1) - (enhanced - image) / 2
        block = conv('guess_conv2', conv('guess_conv1', guess).clamp_min(0))
        logit = conv('light_conv', guess + block.clamp_min(0))
        illumination = torch.clamp(1 / (1 + torch.exp(-logit)) + image, 1e-4, 1.0)
        enhanced = torch.clamp(image / illumination, 0, 1)
    return illumination


@pytest.mark.parametrize('iterations', [1, 2, 3])
@pytest.mark.parametrize('training', [False, True])
def test_follows_the_formula(iterations: int, training: bool) -> None:
    enhancer = _with_large_weights(iterations=iterations, channels=4).train(training)
    image = _dark(2, 3, 11, 14)
    result = enhancer.illuminate(image)
    wanted = _formula(enhancer.state_dict(), image, iterations)
    torch.testing.assert_close(result.illumination, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(result.image, (image / wanted).clamp(0, 1), rtol=0, atol=1e-10)
    assert float(wanted.detach().std()) > 0.05  # the case is worth comparing


def test_initialisation_is_sci_s() -> None:
    torch.manual_seed(7)
    for name, value in RUASEnhancer(channels=128).named_parameters():
        if name.endswith('bias'):
            assert not value.any(), name
        elif value.numel() > 100:  # enough for a standard deviation
            assert float(value.detach().std()) == pytest.approx(0.02, rel=0.1), name


def test_each_iteration_changes_the_result() -> None:
    image = _dark(1, 3, 12, 12)
    results = [_with_large_weights(iterations=n)(image) for n in (1, 2, 3)]
    for one, more in pairwise(results):
        assert float((one - more).detach().abs().max()) > 1e-3


def test_iterations_share_their_weights() -> None:
    sizes = [
        sum(value.numel() for value in RUASEnhancer(iterations=n).parameters()) for n in (1, 3)
    ]
    assert sizes == [252, 252]


def test_the_illumination_is_nowhere_below_the_image() -> None:
    enhancer = _with_large_weights()
    enhancer.light_conv.bias.data.fill_(-60.0)  # the sigmoid is 0
    image = torch.rand(1, 3, 9, 9, dtype=torch.float64)
    image[..., :3, :3] = 0.0
    with torch.no_grad():
        result = enhancer.illuminate(image)
    assert bool((result.illumination >= image).all())
    assert float(result.illumination.min()) == pytest.approx(1e-4)
    assert float(result.illumination.max()) <= 1
    assert bool((result.image[..., :3, :3] == 0).all())


@pytest.mark.parametrize('training', [False, True])
def test_gradients(training: bool) -> None:
    """Of the image and of every weight, away from kinks and clamps."""
    torch.manual_seed(0)
    enhancer = _with_large_weights(iterations=2).train(training)
    image = _dark(1, 3, 5, 6).requires_grad_()
    names, values = zip(*enhancer.named_parameters(), strict=True)

    def run(image: Tensor, *values: Tensor) -> Tensor:
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(enhancer, state, (image,))

    enhanced = run(image, *values)
    gradients = torch.autograd.grad(enhanced.sum(), (image, *values))
    assert all(float(each.abs().max()) > 1e-4 for each in gradients)
    values_range = enhanced.detach()
    assert 0.01 < float(values_range.min()) < float(values_range.max()) < 0.99
    assert torch.autograd.gradcheck(run, (image, *values))


def test_no_gradient_where_the_illumination_is_clamped() -> None:
    enhancer = _with_large_weights(iterations=1)
    enhancer.light_conv.bias.data.fill_(60.0)  # the illumination is 1: nothing happens
    image = _dark(1, 3, 6, 6).requires_grad_()
    enhanced = enhancer(image)
    enhanced.sum().backward()
    assert torch.equal(enhanced, image)
    assert torch.equal(image.grad, torch.ones_like(image))
    assert not any(value.grad.any() for value in enhancer.parameters())


@pytest.mark.parametrize('size', [(7, 9), (1, 5), (4, 1), (1, 1)])
def test_local_maximum(size: tuple[int, int]) -> None:
    image = torch.randn(2, 3, *size)
    assert torch.equal(local_maximum(image), F.max_pool2d(image, 3, 1, 1))


def test_equal_values_share_the_gradient_of_their_maximum() -> None:
    image = torch.ones(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    local_maximum(image)[0, 0, 1, 1].backward()
    assert bool((image.grad > 0).all())
    assert torch.equal(image.grad, image.grad.flip(2).flip(3))
    assert float(image.grad.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize('name', ['iterations', 'channels'])
@pytest.mark.parametrize('value', [0, -1, 1.5, '3', None, True])
def test_bad_arguments(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f'RUASEnhancer: {name} must be') as caught:
        RUASEnhancer(**{name: value})
    assert repr(value) in str(caught.value)


def test_an_exported_file_loads(tmp_path: Path) -> None:
    path = tmp_path / 'ruas.pth'
    enhancer = RUASEnhancer(iterations=2, channels=4)
    save_enhancer(enhancer, path)
    meta = torch.load(path, weights_only=True)['meta']
    assert meta['type'] == 'sci_plugins.RUASEnhancer'
    assert meta['arguments'] == dict(iterations=2, channels=4)
    loaded = RUASEnhancer(iterations=2, channels=4, weights=str(path))
    for key, value in enhancer.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)
    with pytest.raises(CheckpointError, match=r'iterations=2, the enhancer iterations=3'):
        RUASEnhancer(channels=4, weights=str(path))


def test_a_learner_s_checkpoint_loads(save: Callable) -> None:
    learner = SelfCalibratedLearner(estimator=dict(type='sci_plugins.RUASEnhancer'))
    path = save(dict(state_dict=learner.state_dict()))
    loaded = RUASEnhancer(weights=path)
    assert torch.equal(loaded.light_conv.weight, learner.estimator.light_conv.weight)


def test_files_of_another_estimator_are_refused(
    save: Callable, authors_entries: Callable, donor: SCIEnhancer
) -> None:
    ours = save(RUASEnhancer().state_dict(), 'ruas.pth')
    for content in (donor.state_dict(), authors_entries()):
        with pytest.raises(CheckpointError, match=r'no RUAS estimator among its \d+'):
            RUASEnhancer(weights=save(content))
    with pytest.raises(CheckpointError, match='no SCI estimator among its 6 entries'):
        SCIEnhancer(weights=ours)


@pytest.mark.parametrize('stages', [1, 3])
def test_the_learner_trains_every_weight(stages: int) -> None:
    learner = SelfCalibratedLearner(estimator=dict(type='sci_plugins.RUASEnhancer'), stages=stages)
    sum(learner(_dark(2, 3, 12, 12).float(), mode='loss').values()).backward()
    for name, value in learner.estimator.named_parameters():
        assert value.grad is not None, name
        assert float(value.grad.abs().max()) > 0, name


def test_the_network_with_weights_of_0() -> None:
    """Every stage says one half then, and there is no noise."""
    enhancer = RUASNetEnhancer(denoise=True)
    for value in enhancer.parameters():
        value.data.zero_()
    image = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(enhancer(image), (2 * image).clamp(0, 1))
    enhancer.denoise_net.activate[0].bias.data.fill_(0.1)
    torch.testing.assert_close(enhancer(image), ((2 * image).clamp(0, 1) - 0.1).clamp(0, 1))
    torch.testing.assert_close(enhancer.illuminate(image).illumination, torch.full_like(image, 0.5))


def test_size_of_the_network() -> None:
    assert sum(value.numel() for value in RUASNetEnhancer().parameters()) == 3438


@pytest.mark.parametrize('denoise', [False, True])
def test_the_network_looks_as_far_as_it_says(denoise: bool) -> None:
    torch.manual_seed(1)
    enhancer = RUASNetEnhancer(denoise).double()
    for value in enhancer.parameters():
        value.data.uniform_(-0.2, 0.2)
    radius = enhancer.receptive_radius
    size = 2 * radius + 5
    # Brighter to the bottom: the maximum is the lower pixel, as far as it goes.
    ramp = torch.linspace(0.1, 0.4, size, dtype=torch.float64)[:, None].expand(1, 3, size, size)
    image = ramp.clone().requires_grad_()
    enhancer(image)[0, :, size // 2].sum().backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().ravel() - size // 2
    assert int(rows.max()) == radius
    assert int(rows.min()) >= -radius
