"""ESPNet, a small segmentor with published CamVid weights, to test enhancers with."""

from collections import OrderedDict
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from sci_plugins.errors import check_at_least
from sci_plugins.registry import MODELS

_DILATIONS = (1, 2, 4, 8, 16)


def _norm(channels: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(bn=nn.BatchNorm2d(channels, eps=1e-3), act=nn.PReLU(channels))


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, norm: bool = False
) -> nn.Sequential:
    padding = kernel // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(OrderedDict(conv=conv) | (_norm(outputs) if norm else {}))


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)


class _Pyramid(nn.Module):
    """Efficient spatial pyramid: reduce, five dilated convolutions, their sums side by side.

    With ``down`` at half the size; with ``add`` to its input.
    """

    act: nn.PReLU
    bn: nn.Module

    def __init__(self, inputs: int, outputs: int, down: bool = False, add: bool = False) -> None:
        super().__init__()
        part = outputs // 5
        self.c1 = _conv(inputs, part, 3, 2) if down else _conv(inputs, part, 1)
        for each in _DILATIONS:
            wide = outputs - 4 * part if each == 1 else part
            setattr(self, f'd{each}', _conv(part, wide, 3, dilation=each))
        # In the authors' files the norm is flat where the size halves, and a part of its own else.
        norm = _norm(outputs) if down else OrderedDict(bn=nn.Sequential(_norm(outputs)))
        for name, module in norm.items():
            self.add_module(name, module)
        self.down, self.add = down, add

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.c1(x)
        first, *others = (getattr(self, f'd{each}')(reduced) for each in _DILATIONS)
        y = torch.cat([first, *accumulate(others)], dim=1)  # sums hide the grid of large dilations
        y = self.bn(x + y if self.add else y)
        return self.act(y) if self.down else y


class _Encoder(nn.Module):
    def __init__(self, classes: int, p: int, q: int) -> None:
        super().__init__()
        self.level1 = _conv(3, 16, 3, 2, norm=True)
        self.b1 = nn.Sequential(_norm(16 + 3))
        self.level2_0 = _Pyramid(16 + 3, 64, down=True)
        self.level2 = nn.Sequential(*(_Pyramid(64, 64, add=True) for _ in range(p)))
        self.b2 = nn.Sequential(_norm(128 + 3))
        self.level3_0 = _Pyramid(128 + 3, 128, down=True)
        self.level3 = nn.Sequential(*(_Pyramid(128, 128, add=True) for _ in range(q)))
        self.b3 = nn.Sequential(_norm(256))
        self.classifier = _conv(256, classes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of half and of a quarter of the size, class scores of an eighth."""
        half = F.avg_pool2d(x, 3, 2, 1)
        quarter = F.avg_pool2d(half, 3, 2, 1)
        first = self.b1(torch.cat([self.level1(x), half], dim=1))
        down = self.level2_0(first)
        second = self.b2(torch.cat([self.level2(down), down, quarter], dim=1))
        down = self.level3_0(second)
        third = self.b3(torch.cat([down, self.level3(down)], dim=1))
        return first, second, self.classifier(third)


@MODELS.register_module()
class ESPNet(BaseModule):
    """ESPNet as an mmseg backbone that gives class scores; :class:`ScoresHead` hands them on.

    A segmentor trained by others (69 mIoU on CamVid), which has never seen enhanced images. Its
    layers are named as in the authors' files, which ``backbone.`` before each turns into ours.

    Args:
        classes: the authors' last one stands for unlabelled pixels.
        kept: how many of them are given, the first ones; ``None``: all.
        p, q: how many pyramids at a quarter and at an eighth of the size.
        init_cfg: as in mmseg.

    Raises:
        ConfigError: if a number is below 1.

    Source: Mehta et al., "ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic
    Segmentation", ECCV 2018; github.com/sacmehta/ESPNet (MIT).
    """

    def __init__(
        self, classes: int = 12, kept: int | None = 11, p: int = 2, q: int = 8, init_cfg: Any = None
    ) -> None:
        check_at_least(1, 'ESPNet', classes=classes, kept=kept or classes, p=p, q=q)
        super().__init__(init_cfg)
        self.kept = kept or classes
        self.encoder = _Encoder(classes, p, q)
        self.br = nn.BatchNorm2d(classes, eps=1e-3)
        self.up_l3 = nn.Sequential(_up(classes))
        self.level3_C = _conv(128 + 3, classes, 1)
        joined = nn.Sequential(_norm(2 * classes))
        self.combine_l2_l3 = nn.Sequential(joined, _Pyramid(2 * classes, classes))
        self.up_l2 = nn.Sequential(_up(classes), nn.Sequential(_norm(classes)))
        self.conv = _conv(16 + 3 + classes, classes, 3, norm=True)
        self.classifier = _up(classes)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Scores ``(N, kept, H, W)`` of normalised BGR ``(N, 3, H, W)``; H, W multiples of 8."""
        first, second, third = self.encoder(x)
        deep = torch.cat([self.level3_C(second), self.up_l3(self.br(third))], dim=1)
        fine = torch.cat([self.up_l2(self.combine_l2_l3(deep)), first], dim=1)
        return (self.classifier(self.conv(fine))[:, : self.kept],)


@MODELS.register_module()
class ScoresHead(BaseDecodeHead):
    """An mmseg head for a backbone whose output is the class scores.

    Its ``channels`` and ``in_channels`` are the number of classes.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        del self.conv_seg  # nothing is left to learn

    def init_weights(self) -> None:
        """Nothing to do."""

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Scores ``(N, classes, H, W)``: the one of ``inputs`` that ``in_index`` names."""
        return self._transform_inputs(inputs)
