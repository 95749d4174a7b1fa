"""IAT: a local branch that scales and shifts pixels, a global one for colour and gamma."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sci_plugins.models.enhancers.base import BaseEnhancer
from sci_plugins.models.enhancers.weights import load_without_denormals
from sci_plugins.registry import MODELS

_LOCAL, _GLOBAL, _BLOCKS, _HEADS = 16, 64, 3, 4
# A gamma and the nine entries of a colour matrix.
_QUERIES = 1 + 9
_FLOOR = 1e-8


@MODELS.register_module()
class IATEnhancer(BaseEnhancer):
    """The Illumination-Adaptive Transformer: ``(color @ (x * mul + add)) ** gamma``.

    A small convolutional network gives ``mul`` and ``add`` for each pixel; attention of ten learned
    queries over the whole image gives one 3x3 colour matrix and one gamma. 91,154 parameters.

    Computed in float32 under AMP: its floor of 1e-8 is 0 in float16. BatchNorm keeps its statistics
    in training too: the images of a batch stay independent.

    Args:
        normalized: the network sees ``(x - .5) / .5``, as the authors feed ``'iat/lol-v2'``.
        weights: ``'iat/lol'``, ``'iat/lol-v2'`` (with ``normalized``), ``'iat/exposure'``, or a
            path. ``None`` initialises with PyTorch's defaults and curves that change nothing.

    Images and errors are those of :class:`BaseEnhancer`.

    Source: Cui et al., "You Only Need 90K Parameters to Adapt Light", BMVC 2022, arXiv 2205.14871.
    """

    def __init__(self, normalized: bool = False, weights: str | None = None) -> None:
        super().__init__()
        self.normalized = normalized
        # Named as in the authors' files, which load as they are.
        self.local_net = _Local()
        self.global_net = _Global()
        load_without_denormals(self, weights)

    def forward(self, image: Tensor) -> Tensor:
        self.check_input(image)
        if image.numel() == 0:
            return image
        with torch.autocast(image.device.type, enabled=False):
            seen = image.to(self.global_net.gamma_base.dtype)
            seen = (seen - 0.5) / 0.5 if self.normalized else seen
            mul, add = self.local_net(seen)
            gamma, color = self.global_net(seen)
            balanced = torch.einsum('nji,nihw->njhw', color, seen * mul + add)
            curved = balanced.clamp(_FLOOR, 1) ** gamma.view(-1, 1, 1, 1)
            return curved.clamp(0, 1).to(image.dtype)  # a negative gamma goes beyond


class _Local(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _LOCAL, 3, padding=1)
        self.mul_blocks = nn.Sequential(*[_LocalBlock() for _ in range(_BLOCKS)])
        self.add_blocks = nn.Sequential(*[_LocalBlock() for _ in range(_BLOCKS)])
        self.mul_end = nn.Sequential(nn.Conv2d(_LOCAL, 3, 3, padding=1), nn.ReLU())
        self.add_end = nn.Sequential(nn.Conv2d(_LOCAL, 3, 3, padding=1), nn.Tanh())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = F.leaky_relu(self.conv1(image), 0.2)
        mul = self.mul_end(self.mul_blocks(features) + features)
        return mul, self.add_end(self.add_blocks(features) + features)


class _LocalBlock(nn.Module):
    """Two residual parts, mixing pixels and channels, each behind a learned recolouring."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((1, _LOCAL, 1, 1), 1e-4))
        self.gamma_2 = nn.Parameter(torch.full((1, _LOCAL, 1, 1), 1e-4))
        self.pos_embed = nn.Conv2d(_LOCAL, _LOCAL, 3, padding=1, groups=_LOCAL)
        self.norm1 = _Recolour()
        self.conv1 = nn.Conv2d(_LOCAL, _LOCAL, 1)
        self.conv2 = nn.Conv2d(_LOCAL, _LOCAL, 1)
        self.attn = nn.Conv2d(_LOCAL, _LOCAL, 5, padding=2, groups=_LOCAL)
        self.norm2 = _Recolour()
        self.mlp = _hidden(nn.Conv2d(_LOCAL, 4 * _LOCAL, 1), nn.Conv2d(4 * _LOCAL, _LOCAL, 1))

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.pos_embed(features)
        mixed = self.conv2(self.attn(self.conv1(self.norm1(features))))
        features = features + self.gamma_1 * mixed
        return features + self.gamma_2 * self.mlp(self.norm2(features))


class _Recolour(nn.Module):
    """A matrix, a scale and a shift of each pixel's channels, where others normalise."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 1, _LOCAL))
        self.beta = nn.Parameter(torch.zeros(1, 1, _LOCAL))
        self.color = nn.Parameter(torch.eye(_LOCAL))

    def forward(self, features: Tensor) -> Tensor:
        recoloured = torch.einsum('ji,nihw->njhw', self.color, features)
        return recoloured * self.alpha.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


def _hidden(fc1: nn.Module, fc2: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(fc1=fc1, act=nn.GELU(), fc2=fc2))


class _Global(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma_base = nn.Parameter(torch.ones(1))
        self.color_base = nn.Parameter(torch.eye(3))
        half = _GLOBAL // 2
        layers = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1),
            nn.BatchNorm2d(half),
            nn.GELU(),
            nn.Conv2d(half, _GLOBAL, 3, stride=2, padding=1),
            nn.BatchNorm2d(_GLOBAL),
        )
        self.conv_large = nn.Sequential(OrderedDict(proj=layers))  # to a quarter of the size
        self.generator = _Queries()
        self.gamma_linear = nn.Linear(_GLOBAL, 1)
        self.color_linear = nn.Linear(_GLOBAL, 1)
        for linear in (self.gamma_linear, self.color_linear):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def train(self, mode: bool = True) -> '_Global':
        super().train(mode)
        self.conv_large.eval()  # its statistics are those of the weights
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.generator(self.conv_large(image))
        gamma = self.gamma_linear(tokens[:, 0]).squeeze(1) + self.gamma_base
        color = self.color_linear(tokens[:, 1:]).view(-1, 3, 3) + self.color_base
        return gamma, color


class _Queries(nn.Module):
    """Learned queries look at all pixels; no residual round the attention."""

    def __init__(self) -> None:
        super().__init__()
        self.pos_embed = nn.Conv2d(_GLOBAL, _GLOBAL, 3, padding=1, groups=_GLOBAL)
        self.norm1 = nn.LayerNorm(_GLOBAL)
        self.attn = _Attention()
        self.norm2 = nn.LayerNorm(_GLOBAL)
        self.mlp = _hidden(nn.Linear(_GLOBAL, 4 * _GLOBAL), nn.Linear(4 * _GLOBAL, _GLOBAL))

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.pos_embed(features)
        found = self.attn(self.norm1(features.flatten(2).transpose(1, 2)))
        return found + self.mlp(self.norm2(found))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Parameter(torch.randn(1, _QUERIES, _GLOBAL) * 0.02)
        self.k = nn.Linear(_GLOBAL, _GLOBAL, bias=False)
        self.v = nn.Linear(_GLOBAL, _GLOBAL, bias=False)
        self.proj = nn.Linear(_GLOBAL, _GLOBAL)

    def forward(self, tokens: Tensor) -> Tensor:
        parts = self.q.expand(len(tokens), -1, -1), self.k(tokens), self.v(tokens)
        # Each ``(N, L, 64)`` to ``(N, 4, L, 16)``.
        heads = (each.unflatten(2, (_HEADS, -1)).transpose(1, 2) for each in parts)
        return self.proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
