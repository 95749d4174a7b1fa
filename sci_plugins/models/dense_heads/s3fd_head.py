"""S3FD's head: mmdet's SSD head with a max-out background label."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.dense_heads import SSDHead
from torch import Tensor, nn

from sci_plugins.errors import ConfigError
from sci_plugins.functional.max_out import max_out_background
from sci_plugins.registry import MODELS


@MODELS.register_module()
class S3FDHead(SSDHead):
    """A 3x3 convolution a level for scores, and one for boxes (arXiv 1708.05237).

    Loss, hard negative mining and decoding are ``SSDHead``'s. Of section 3.4's loss,
    ``lambda / N_cls * L_cls + 1 / N_reg * L_reg``, with ``N_cls`` the number of anchors
    that count, three negatives to a positive, and ``lambda = 4``, that is the same: both
    sums over the number of positives.

    Args:
        num_classes: without the background.
        in_channels: of each level.
        max_out: number of background scores on the first level, of which the largest
            counts (section 3.3); 1 for an ordinary one.
        **kwargs: those of ``SSDHead``: ``anchor_generator`` (with one anchor a
            location on the first level), ``bbox_coder``, ``train_cfg``, ``test_cfg``.

    Shape:
        - input: one map a level, ``(N, in_channels[i], H, W)``
        - output: scores ``(N, num_classes + 1, H, W)``, background last, and boxes
          ``(N, 4, H, W)``, a list of each

    Raises:
        ConfigError: if ``max_out`` is below 1, or the first level has more than one
            anchor a location.
    """

    def __init__(
        self,
        num_classes: int = 1,
        in_channels: Sequence[int] = (256, 512, 512, 1024, 512, 256),
        max_out: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **kwargs)
        if max_out < 1:
            raise ConfigError(f'S3FDHead: max_out must be above 0, got {max_out}')
        if self.num_base_priors[0] != 1:
            raise ConfigError(
                'S3FDHead: expected one anchor a location on the first level, got '
                f'{self.num_base_priors[0]}'
            )
        self.max_out = max_out
        # SSDHead has no such module, and what decodes its boxes asks for one.
        self.loss_cls = None
        conv: Any = self.cls_convs[0][-1]
        self.cls_convs[0][-1] = nn.Conv2d(
            conv.in_channels,
            num_classes + max_out,
            conv.kernel_size,
            padding=conv.padding,
        )

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, boxes = super().forward(x)
        scores[0] = max_out_background(scores[0], self.num_classes)
        return scores, boxes
