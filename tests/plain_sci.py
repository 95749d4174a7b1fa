"""SCI written down plainly, and weights whose effect can be seen: a second opinion.

Nothing here comes from the package, so that a test which compares with it proves
something about the package.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN = 3


def visible_weights(seed: int = 0) -> dict[str, Tensor]:
    """A state dict of an estimator that brightens, each channel by its own amount."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float = 0.3, mean: float = 0.0) -> Tensor:
        return torch.randn(*shape, generator=source) * std + mean

    state = {}
    for name, outputs, inputs in (
        ('in_conv', HIDDEN, 3),
        ('block_conv', HIDDEN, HIDDEN),
        ('out_conv', 3, HIDDEN),
    ):
        state[f'{name}.weight'] = normal(outputs, inputs, 3, 3)
        state[f'{name}.bias'] = normal(outputs)
    state['in_conv.bias'] = torch.tensor([0.1, 0.2, 0.3])  # no hidden channel is dead
    state['out_conv.bias'] = torch.tensor([-3.0, -2.0, -1.0])
    state['block_norm.weight'] = normal(HIDDEN, std=0.1, mean=1)
    state['block_norm.bias'] = normal(HIDDEN, mean=0.5)
    state['block_norm.running_mean'] = normal(HIDDEN)
    state['block_norm.running_var'] = normal(HIDDEN).square() + 0.5
    state['block_norm.num_batches_tracked'] = torch.tensor(1)
    return state


def save_visible_weights(path: Path, seed: int = 0) -> Path:
    torch.save(visible_weights(seed), path)
    return path


def read_weights(path: Path, prefix: str = '') -> dict[str, Tensor]:
    """Entries of a file below ``prefix``, by PyTorch alone."""
    content = torch.load(path, weights_only=True)
    return {
        key.removeprefix(prefix): value for key, value in content.items() if key.startswith(prefix)
    }


def plain_illumination(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """``clamp(sigmoid(...) + x, 1e-4, 1)`` of RGB ``(N, 3, H, W)`` in [0, 1]."""

    def convolve(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, state[f'{name}.weight'], state[f'{name}.bias'], padding=1)

    def normalise(x: Tensor) -> Tensor:
        weight, bias, mean, variance = (
            state[f'block_norm.{name}'].view(1, -1, 1, 1)
            for name in ('weight', 'bias', 'running_mean', 'running_var')
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    features = torch.relu(convolve('in_conv', image))
    features = features + torch.relu(normalise(convolve('block_conv', features)))
    return (torch.sigmoid(convolve('out_conv', features)) + image).clamp(1e-4, 1)


def plain_sci(state: dict[str, Tensor], image: Tensor) -> Tensor:
    """Enhanced image: RGB ``(N, 3, H, W)`` in [0, 1] to the same."""
    return (image / plain_illumination(state, image)).clamp(0, 1)


def enhance_host_image(state: dict[str, Tensor], image: Tensor, order: str = 'bgr') -> Tensor:
    """A host's image, ``(3, H, W)`` on [0, 255] in ``order``, to the same as float."""
    channels = [2, 1, 0] if order == 'bgr' else [0, 1, 2]
    rgb = image[channels].float().clamp(0, 255) / 255
    return (plain_sci(state, rgb[None])[0] * 255)[channels]
