"""S3FD's extra layers and its three L2 norms, from mmdet's SSD neck."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmdet.models.necks import SSDNeck
from mmdet.models.necks.ssd_neck import L2Norm
from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS


class SafeL2Norm(L2Norm):
    """mmdet's ``L2Norm``, with a gradient where all channels are 0.

    There mmdet's is NaN, the derivative of a root at 0. It happens: behind a ReLU in a
    black or padded area.

    Shape:
        - input and output: ``(N, n_dims, H, W)``
    """

    def __init__(self, n_dims: int, scale: float = 20.0, eps: float = 1e-10) -> None:
        super().__init__(n_dims, scale, eps)
        nn.init.constant_(self.weight, scale)  # mmdet leaves it as memory was

    def forward(self, x: Tensor) -> Tensor:
        normed = F.normalize(x.float(), dim=1, eps=self.eps)
        return (self.weight.float()[:, None, None] * normed).type_as(x)


@MODELS.register_module()
class S3FDNeck(SSDNeck):
    """L2 norms of the first maps, and two more maps (S3FD, arXiv 1708.05237, 3.1).

    mmdet's ``SSDNeck`` makes the maps (conv6_1 to conv7_2); it norms one of them only.

    Args:
        in_channels: channels of conv3_3, conv4_3, conv5_3, conv_fc7.
        out_channels: those and the channels of conv6_2, conv7_2.
        level_strides: of conv6_2 and conv7_2.
        level_paddings: likewise.
        l2_norm_scales: scales that conv3_3, conv4_3, conv5_3 start from; they are
            learnt, one a channel.
        **kwargs: those of ``SSDNeck``.

    Shape:
        - input: maps of ``in_channels``
        - output: maps of ``out_channels``, as many more as there are ``level_strides``

    Raises:
        ConfigError: if there are more scales than input maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 512, 1024),
        out_channels: Sequence[int] = (256, 512, 512, 1024, 512, 256),
        level_strides: Sequence[int] = (2, 2),
        level_paddings: Sequence[int] = (1, 1),
        l2_norm_scales: Sequence[float] = (10.0, 8.0, 5.0),
        **kwargs: Any,
    ) -> None:
        if len(l2_norm_scales) > len(in_channels):
            raise ConfigError(
                f'S3FDNeck: expected at most {len(in_channels)} l2_norm_scales, one '
                f'an input, got {len(l2_norm_scales)}'
            )
        super().__init__(
            in_channels,
            out_channels,
            level_strides,
            level_paddings,
            l2_norm_scale=None,
            **kwargs,
        )
        self.l2_norms = nn.ModuleList(
            SafeL2Norm(channels, scale)
            for channels, scale in zip(in_channels, l2_norm_scales, strict=False)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        maps = list(inputs)
        for level, norm in enumerate(self.l2_norms):
            maps[level] = norm(maps[level])
        return super().forward(maps)
