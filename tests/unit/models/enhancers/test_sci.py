"""SCI's estimator against its formula, its authors' numbers, and finite differences."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sci_plugins.errors import ConfigError
from sci_plugins.models.enhancers import SCIEnhancer

CHAINS = [(0, 3), (1, 3), (2, 3), (3, 3), (1, 1), (1, 8), (1, 16), (2, 8)]


def _formula(state: dict[str, Tensor], image: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """facts: relu(conv), f + relu(bn(conv f)), clamp(sigmoid(conv f) + x), x / i."""

    def conv(name: str, value: Tensor) -> Tensor:
        return F.conv2d(value, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)

    features = conv('in_conv', image).clamp_min(0)
    for _ in range(layers):
        block = conv('block_conv', features)
        mean, var, scale, shift = (
            state[f'block_norm.{key}'].view(1, -1, 1, 1)
            for key in ('running_mean', 'running_var', 'weight', 'bias')
        )
        block = (block - mean) / torch.sqrt(var + 1e-5) * scale + shift
        features = features + block.clamp_min(0)
    sigmoid = 1 / (1 + torch.exp(-conv('out_conv', features)))
    illumination = torch.clamp(sigmoid + image, 1e-4, 1.0)
    return torch.clamp(image / illumination, 0, 1), illumination


def _with_large_weights(enhancer: SCIEnhancer, seed: int = 1) -> SCIEnhancer:
    """No value near 0 or 1, so that a swapped or missing term cannot hide."""
    generator = torch.Generator().manual_seed(seed)
    for value in enhancer.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    enhancer.block_norm.running_var.abs_().add_(0.2)
    enhancer.out_conv.bias.data.fill_(-1.0)
    return enhancer.eval()


@pytest.mark.parametrize(('layers', 'channels'), CHAINS)
@pytest.mark.parametrize('grad', [True, False])
def test_follows_the_formula(layers: int, channels: int, grad: bool) -> None:
    enhancer = _with_large_weights(SCIEnhancer(layers=layers, channels=channels)).double()
    image = torch.rand(2, 3, 11, 14, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        result = enhancer.illuminate(image)
        enhanced = enhancer(image)
    wanted, illumination = _formula(enhancer.state_dict(), image, layers)
    torch.testing.assert_close(result.image, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(result.illumination, illumination, rtol=0, atol=1e-10)
    torch.testing.assert_close(enhanced, wanted, rtol=0, atol=1e-10)
    assert float(illumination.std()) > 0.05  # the case is worth comparing


@pytest.mark.parametrize(('layers', 'channels'), CHAINS)
def test_follows_the_formula_in_float32_at_a_photograph_s_size(layers: int, channels: int) -> None:
    enhancer = _with_large_weights(SCIEnhancer(layers=layers, channels=channels))
    image = torch.rand(1, 3, 121, 190)
    with torch.no_grad():
        result = enhancer.illuminate(image)
        enhanced = enhancer(image)
    wanted, illumination = _formula(enhancer.state_dict(), image, layers)
    torch.testing.assert_close(enhanced, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(result.image, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(result.illumination, illumination, rtol=0, atol=1e-5)


def test_range_of_the_illumination() -> None:
    enhancer = _with_large_weights(SCIEnhancer())
    enhancer.out_conv.bias.data.fill_(-60.0)  # the sigmoid is 0: dark stays dark
    image = torch.zeros(1, 3, 8, 8)
    image[..., 4:] = 1.0
    with torch.no_grad():
        result = enhancer.illuminate(image)
    assert float(result.illumination.min()) == pytest.approx(1e-4)
    assert float(result.illumination.max()) == 1.0
    assert bool((result.image[..., :3] == 0).all())


def test_number_of_parameters() -> None:
    """252 in three convolutions, 6 of BatchNorm: the paper's 0.0003 M."""
    enhancer = SCIEnhancer()
    sizes = {name: value.numel() for name, value in enhancer.named_parameters()}
    norm = sum(size for name, size in sizes.items() if 'norm' in name)
    assert (sum(sizes.values()) - norm, norm) == (252, 6)
    assert all(parameter.requires_grad for parameter in enhancer.parameters())


def test_the_block_is_shared() -> None:
    sizes = {
        layers: sum(p.numel() for p in SCIEnhancer(layers=layers).parameters())
        for layers in (1, 2, 5)
    }
    assert len(set(sizes.values())) == 1


def test_initialisation_is_the_authors() -> None:
    torch.manual_seed(7)
    enhancer = SCIEnhancer(channels=128)
    for name, value in enhancer.named_parameters():
        if name.endswith('bias'):
            assert not value.any(), name
        else:
            centre = 1.0 if 'norm' in name else 0.0
            value = value.detach()
            assert float(value.mean()) == pytest.approx(centre, abs=0.006), name
            assert float(value.std()) == pytest.approx(0.02, rel=0.2), name
    assert not enhancer.block_norm.running_mean.any()
    assert bool((enhancer.block_norm.running_var == 1).all())


def test_initialisation_follows_the_seed() -> None:
    def make(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return SCIEnhancer().in_conv.weight

    assert torch.equal(make(1), make(1))
    assert not torch.equal(make(1), make(2))


def test_training_mode_uses_the_batch_s_statistics() -> None:
    enhancer = _with_large_weights(SCIEnhancer())
    image = torch.rand(2, 3, 12, 12)
    with torch.no_grad():
        in_eval = enhancer(image)
    mean = enhancer.block_norm.running_mean.clone()
    with torch.no_grad():
        in_train = enhancer.train()(image)
    assert float((in_train - in_eval).abs().max()) > 1e-3
    assert not torch.equal(enhancer.block_norm.running_mean, mean)


@pytest.mark.parametrize('how', ['step', 'load', 'data', 'norm statistics', 'train mode'])
def test_new_weights_show_at_once(how: str) -> None:
    """A fast path that keeps folded weights must notice each way to change them."""
    enhancer = _with_large_weights(SCIEnhancer())
    image = torch.rand(1, 3, 40, 40)
    with torch.no_grad():
        before = enhancer(image)
    if how == 'step':
        optimizer = torch.optim.SGD(enhancer.parameters(), lr=0.5)
        enhancer(image).sum().backward()
        optimizer.step()
    elif how == 'load':
        other = _with_large_weights(SCIEnhancer(), seed=5)
        enhancer.load_state_dict(other.state_dict())
    elif how == 'data':
        enhancer.in_conv.weight.data = enhancer.in_conv.weight.data * 1.5
    elif how == 'norm statistics':
        enhancer.block_norm.running_mean.add_(0.7)
    else:
        with torch.no_grad():
            enhancer.train()(image)  # moves the running statistics
        enhancer.eval()
    with torch.no_grad():
        after = enhancer(image)
    wanted, _ = _formula(enhancer.state_dict(), image, 1)
    torch.testing.assert_close(after, wanted, rtol=0, atol=1e-5)
    assert float((after - before).abs().max()) > 1e-4


def test_moving_to_another_dtype_after_use() -> None:
    enhancer = _with_large_weights(SCIEnhancer())
    image = torch.rand(1, 3, 20, 20)
    with torch.no_grad():
        enhancer(image)
        result = enhancer.double()(image.double())
    wanted, _ = _formula(enhancer.state_dict(), image.double(), 1)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-10)


def _smooth_case(seed: int) -> tuple[SCIEnhancer, Tensor]:
    """Weights and a dark image for which no relu and no clamp is near its corner."""
    enhancer = SCIEnhancer(layers=2, channels=1).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for value in enhancer.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator).double() * 0.2 - 0.1)
    enhancer.in_conv.bias.data += 1.0  # every relu is open ...
    enhancer.block_norm.bias.data += 1.0
    enhancer.block_norm.weight.data += 1.0
    enhancer.block_norm.running_var.abs_().add_(0.5)
    enhancer.out_conv.bias.data -= 0.5  # ... and sigmoid + x stays within (0, 1)
    image = torch.rand(1, 3, 3, 3, generator=generator, dtype=torch.float64) * 0.2 + 0.05
    return enhancer, image


@pytest.mark.parametrize('mode', ['eval', 'train'])
def test_gradcheck_at_interior_points(mode: str) -> None:
    enhancer, image = _smooth_case(0)
    enhancer.train(mode == 'train')
    image.requires_grad_()
    names = [name for name, _ in enhancer.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in enhancer.parameters()]
    buffers = {name: value.clone() for name, value in enhancer.named_buffers()}

    def run(image: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        state = dict(zip(names, values, strict=True))
        fresh = {name: value.clone() for name, value in buffers.items()}
        call = torch.func.functional_call(_Illuminating(enhancer), _nested(state, fresh), image)
        return call

    enhanced, illumination = run(image, *values)
    low, high = illumination.detach().aminmax()
    assert 1e-4 < float(low) <= float(high) < 1
    low, high = enhanced.detach().aminmax()
    assert 0 < float(low) <= float(high) < 1
    weights = torch.rand_like(enhanced)
    grads = torch.autograd.grad((enhanced * weights).sum(), [image, *values])
    for name, grad in zip(['image', *names], grads, strict=True):
        # A bias in front of a BatchNorm of batch statistics has no effect at all.
        if mode == 'train' and name == 'block_conv.bias':
            assert float(grad.abs().max()) < 1e-9
        else:
            assert float(grad.abs().min()) > 0, name
    assert torch.autograd.gradcheck(run, (image, *values))


class _Illuminating(torch.nn.Module):
    def __init__(self, enhancer: SCIEnhancer) -> None:
        super().__init__()
        self.enhancer = enhancer

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        result = self.enhancer.illuminate(image)
        return result.image, result.illumination


def _nested(*parts: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'enhancer.{name}': value for part in parts for name, value in part.items()}


def test_gradient_is_zero_on_the_clamp() -> None:
    """Where sigmoid + x is above 1 the illumination is 1: no weight has an effect."""
    enhancer, image = _smooth_case(1)
    image = (image + 0.7).requires_grad_()
    result = enhancer.illuminate(image)
    assert bool((result.illumination == 1).all())
    result.image.sum().backward()
    assert torch.equal(image.grad, torch.ones_like(image))  # image / 1
    for name, parameter in enhancer.named_parameters():
        assert not parameter.grad.any(), name


@pytest.mark.parametrize('value', [-1, 1.5, '3', None, True])
def test_layers_out_of_range(value: object) -> None:
    with pytest.raises(ConfigError, match=r'layers must be (an int of )?at least 0'):
        SCIEnhancer(layers=value)  # type: ignore[arg-type]


@pytest.mark.parametrize('value', [0, -3, 1.5, '3', None, True])
def test_channels_out_of_range(value: object) -> None:
    with pytest.raises(ConfigError, match=r'channels must be (an int of )?at least 1'):
        SCIEnhancer(channels=value)  # type: ignore[arg-type]


def test_settings_show_in_repr() -> None:
    assert 'layers=2, channels=8' in repr(SCIEnhancer(layers=2, channels=8))


def test_frozen_copies_do_not_share_what_they_keep() -> None:
    enhancer = _with_large_weights(SCIEnhancer())
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        wanted = enhancer(image)
        twin = copy.deepcopy(enhancer)
        twin.in_conv.weight.mul_(2)
        assert torch.equal(enhancer(image), wanted)
        assert not torch.equal(twin(image), wanted)


def test_sizes_beyond_use_are_refused_before_room_is_made() -> None:
    SCIEnhancer(layers=100, channels=64)
    with pytest.raises(ConfigError, match='SCIEnhancer: layers must be at most 100, got 101'):
        SCIEnhancer(layers=101)
    with pytest.raises(ConfigError, match='SCIEnhancer: channels must be at most 1024, got 10000'):
        SCIEnhancer(channels=10_000_000)
