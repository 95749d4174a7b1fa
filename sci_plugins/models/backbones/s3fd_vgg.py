"""VGG-16 as S3FD uses it, from mmdet's SSD backbone."""

from typing import Any

from mmdet.models.backbones import SSDVGG
from torch import nn

from sci_plugins.errors import ConfigError
from sci_plugins.registry import MODELS

#: Outputs of conv3_3, conv4_3, conv5_3 and conv_fc7, each after its ReLU.
_OUTPUTS = (15, 22, 29, 34)
_POOL5, _FC6 = 30, 31


@MODELS.register_module()
class S3FDVGG(SSDVGG):
    """VGG-16 with outputs of strides 4, 8, 16 and 32 (S3FD, arXiv 1708.05237, 3.1).

    mmdet's ``SSDVGG``, its layer names (so its checkpoint
    ``open-mmlab://vgg16_caffe`` fits), but with the pool5 of VGG, which halves, and a
    conv_fc6 to match. Pooling rounds sizes up: every size of image will do.

    Args:
        fc6_dilation: 1 gives the receptive fields of the paper's table 1. The
            re-implementations take 3, which is what the weights of conv_fc6 were cut
            out of VGG's fc6 for. Either way the padding keeps the map on the grid of
            the anchors (the authors' own file pads by 3 undilated, which moves the maps
            of strides 32 to 128 off it).
        init_cfg: as in ``SSDVGG``.

    Shape:
        - input: ``(N, 3, H, W)``, normalised
        - output: 4 maps of 256, 512, 512 and 1024 channels

    Raises:
        ConfigError: if ``fc6_dilation`` is below 1.
    """

    def __init__(
        self, fc6_dilation: int = 1, init_cfg: dict | list[dict] | None = None
    ) -> None:
        if fc6_dilation < 1:
            raise ConfigError(
                f'S3FDVGG: fc6_dilation must be above 0, got {fc6_dilation}'
            )
        super().__init__(
            depth=16,
            with_last_pool=False,
            ceil_mode=True,
            out_feature_indices=_OUTPUTS,
            init_cfg=init_cfg,
        )
        conv: Any = self.features[_FC6]
        self.features[_POOL5] = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.features[_FC6] = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            padding=fc6_dilation,
            dilation=fc6_dilation,
        )
