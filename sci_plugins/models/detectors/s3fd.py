"""S3FD, built from mmdet's SSD: backbone, neck, head and anchor matching.

Source: Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector", ICCV 2017, arXiv
1708.05237. Section and table numbers refer to it.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.backbones import SSDVGG
from mmdet.models.dense_heads import SSDHead
from mmdet.models.necks import SSDNeck
from mmdet.models.necks.ssd_neck import L2Norm
from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from torch import Tensor, nn

from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.registry import MODELS, TASK_UTILS

#: Outputs of conv3_3, conv4_3, conv5_3 and conv_fc7, each after its ReLU.
_OUTPUTS = (15, 22, 29, 34)
_POOL5, _FC6 = 30, 31


@MODELS.register_module()
class S3FDVGG(SSDVGG):
    """VGG-16 with outputs of strides 4, 8, 16 and 32 (section 3.1).

    mmdet's ``SSDVGG`` with its layer names (its checkpoint ``open-mmlab://vgg16_caffe`` fits), but
    with VGG's pool5, of stride 2, and a conv_fc6 to match. Images may have any size.

    Args:
        fc6_dilation: 1 gives the receptive fields of table 1. Re-implementations use 3, for which
            the weights of conv_fc6 were sampled from VGG's fc6. Either way the padding keeps the
            map on the anchor grid (the authors' file pads by 3 without dilation, which shifts the
            maps of strides 32 to 128 off it).
        init_cfg: as in ``SSDVGG``.

    Shape:
        - input: ``(N, 3, H, W)``, normalised
        - output: 4 maps of 256, 512, 512 and 1024 channels

    Raises:
        ConfigError: if ``fc6_dilation`` is below 1.
    """

    def __init__(self, fc6_dilation: int = 1, init_cfg: dict | list[dict] | None = None) -> None:
        check_at_least(1, 'S3FDVGG', fc6_dilation=fc6_dilation)
        shape: dict[str, Any] = dict(depth=16, with_last_pool=False, ceil_mode=True)
        super().__init__(**shape, out_feature_indices=_OUTPUTS, init_cfg=init_cfg)
        conv: Any = self.features[_FC6]
        sizes = conv.in_channels, conv.out_channels, conv.kernel_size
        self.features[_POOL5] = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.features[_FC6] = nn.Conv2d(*sizes, padding=fc6_dilation, dilation=fc6_dilation)


class SafeL2Norm(L2Norm):
    """mmdet's ``L2Norm`` of ``(N, n_dims, H, W)`` with a finite gradient where all channels are 0.

    mmdet's is NaN there (after a ReLU in black or padded areas), the derivative of a root at 0.
    """

    def __init__(self, n_dims: int, scale: float = 20.0, eps: float = 1e-10) -> None:
        super().__init__(n_dims, scale, eps)
        nn.init.constant_(self.weight, scale)  # mmdet leaves it uninitialised

    def forward(self, x: Tensor) -> Tensor:
        normed = F.normalize(x.float(), dim=1, eps=self.eps)
        return (self.weight.float()[:, None, None] * normed).type_as(x)


@MODELS.register_module()
class S3FDNeck(SSDNeck):
    """L2 norms of the first maps, and two more maps (section 3.1).

    mmdet's ``SSDNeck`` makes the maps (conv6_1 to conv7_2), but normalises only one.

    Args:
        in_channels: channels of conv3_3, conv4_3, conv5_3, conv_fc7.
        out_channels: those and the channels of conv6_2, conv7_2.
        level_strides, level_paddings: of conv6_2 and conv7_2.
        l2_norm_scales: initial scales of conv3_3, conv4_3, conv5_3; learned per channel.
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
            wish = f'at most {len(in_channels)} l2_norm_scales, one per input'
            raise ConfigError(f'S3FDNeck: expected {wish}, got {len(l2_norm_scales)}')
        levels = in_channels, out_channels, level_strides, level_paddings
        super().__init__(*levels, l2_norm_scale=None, **kwargs)
        self.l2_norms = nn.ModuleList(map(SafeL2Norm, in_channels, l2_norm_scales))

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        normed = [norm(each) for norm, each in zip(self.l2_norms, inputs, strict=False)]
        return super().forward([*normed, *inputs[len(normed) :]])


def max_out_background(scores: Tensor, classes: int = 1) -> Tensor:
    """Keep the class scores and the largest of the background scores (S3FD, section 3.3).

    Most false positives come from the smallest anchors, which are by far the most numerous. The
    maximum of several background scores classifies them as faces less often.

    Of scores ``(N, classes + K, H, W)`` before the softmax, the K of the background last as in
    mmdet (in the authors' files first): ``(N, classes + 1, H, W)``.
    """
    return torch.cat([scores[:, :classes], scores[:, classes:].amax(dim=1, keepdim=True)], dim=1)


@MODELS.register_module()
class S3FDHead(SSDHead):
    """Per level, a 3x3 convolution for scores and one for boxes.

    Loss, hard negative mining and decoding are ``SSDHead``'s. It divides both sums of the loss by
    the number of positives, as section 3.4 does: in ``lambda / N_cls * L_cls + 1 / N_reg * L_reg``,
    ``N_cls`` is four times that (three negatives per positive), and ``lambda`` is 4.

    Args:
        num_classes: without background.
        in_channels: of each level.
        max_out: number of background scores on the first level, of which the largest counts
            (section 3.3); 1 for an ordinary head.
        **kwargs: those of ``SSDHead``: ``anchor_generator`` (with one anchor per location on the
            first level), ``bbox_coder``, ``train_cfg``, ``test_cfg``.

    Shape:
        - input: one map per level, ``(N, in_channels[i], H, W)``
        - output: two lists, scores ``(N, num_classes + 1, H, W)``, background last, and boxes
          ``(N, 4, H, W)``

    Raises:
        ConfigError: if ``max_out`` is below 1, or the first level has several anchors per location.
    """

    def __init__(
        self,
        num_classes: int = 1,
        in_channels: Sequence[int] = (256, 512, 512, 1024, 512, 256),
        max_out: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, **kwargs)
        check_at_least(1, 'S3FDHead', max_out=max_out)
        if self.num_base_priors[0] != 1:
            wish, got = 'one anchor per location on the first level', self.num_base_priors[0]
            raise ConfigError(f'S3FDHead: expected {wish}, got {got}')
        self.max_out = max_out
        # mmdet's box decoding reads loss_cls, which SSDHead does not set.
        self.loss_cls = None
        conv: Any = self.cls_convs[0][-1]
        sizes = conv.in_channels, num_classes + max_out, conv.kernel_size
        self.cls_convs[0][-1] = nn.Conv2d(*sizes, padding=conv.padding)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, boxes = super().forward(x)
        scores[0] = max_out_background(scores[0], self.num_classes)
        return scores, boxes


def compensate_matches(
    overlaps: Tensor, matches: Tensor, min_iou: float = 0.1, top_n: int | None = None
) -> Tensor:
    """Give more anchors to faces that stage one left with too few (S3FD, section 3.2, stage two).

    Faces smaller than all anchors, or between two anchor sizes, match few anchors by a threshold.
    Each face with fewer than N takes the N anchors with the largest IoU, if above ``min_iou``; N is
    the average number of anchors per face in this image after stage one.

    Where the paper is silent: the average is rounded up. No face loses an anchor. If several faces
    want an anchor, it goes to the one with the largest IoU, the first of equals.

    Args:
        overlaps: IoU of each face with each anchor, ``(F, A)``; below 0 for anchors to leave out.
        matches: result of stage one, ``(A,)``, integers: 0 for background, -1 for ignored anchors,
            ``f + 1`` for the face ``f``; so is what is returned.
        min_iou: in [0, 1).
        top_n: replaces the average, which is one, and helps no face, where all are tiny.
    """
    counts = torch.bincount(matches.clamp(min=0), minlength=len(overlaps) + 1)[1:]
    if top_n is None:
        top_n = -(-int(counts.sum()) // max(len(counts), 1))
    faces = (counts < top_n).nonzero().flatten()
    if len(faces) == 0:
        return matches
    wanted, anchors = _best_free(overlaps, matches, faces, min_iou, top_n)
    return _share_out(matches, wanted, anchors, faces)


def _best_free(
    overlaps: Tensor, matches: Tensor, faces: Tensor, min_iou: float, top_n: int
) -> tuple[Tensor, Tensor]:
    """IoU and index of the best anchors of some faces, ``(P, n)`` each, sorted.

    The row of a face with fewer than ``n`` candidates is padded with an IoU of -1.
    """
    overlaps = overlaps[faces]
    is_free = (matches <= 0) | (matches == faces[:, None] + 1)
    is_candidate = is_free & (overlaps > min_iou)
    # Few anchors are near a face, and a stable sort of all anchors would be slow.
    near = is_candidate.any(dim=0).nonzero().flatten()
    candidates = overlaps[:, near].masked_fill(~is_candidate[:, near], -1)
    order = candidates.sort(dim=1, descending=True, stable=True)
    return order.values[:, :top_n], near[order.indices[:, :top_n]]


def _share_out(matches: Tensor, wanted: Tensor, anchors: Tensor, faces: Tensor) -> Tensor:
    is_wanted = wanted > 0
    highest = wanted.new_zeros(len(matches))
    highest.scatter_reduce_(0, anchors[is_wanted], wanted[is_wanted], 'amax')
    wins = is_wanted & (wanted == highest[anchors])
    numbers = (faces[:, None] + 1).expand_as(anchors)
    # The first of equals: with plain assignment that would depend on the device.
    nobody = len(faces) + int(faces.max()) + 1
    winner = torch.full_like(matches, nobody)
    winner.scatter_reduce_(0, anchors[wins], numbers[wins], 'amin')
    return torch.where(winner < nobody, winner, matches)


@TASK_UTILS.register_module()
class ScaleCompensatedAssigner(MaxIoUAssigner):
    """Scale compensation anchor matching (S3FD, section 3.2).

    Stage one is mmdet's ``MaxIoUAssigner`` as SSD uses it, with the threshold lowered from 0.5 to
    0.35. Stage two is :func:`compensate_matches`.

    Args:
        pos_iou_thr: threshold of stage one; an anchor below it is background.
        compensation_iou_thr: anchors of stage two need a larger IoU than this.
        top_n: faces with fewer anchors get more, up to this number; ``None`` for the average of the
            image.
        min_pos_iou: smallest IoU of a face with its best anchor. Above 0, because a face that no
            anchor overlaps would take the first one.
        **kwargs: those of ``MaxIoUAssigner``.

    Raises:
        ConfigError: if a threshold or ``top_n`` is out of range.
    """

    def __init__(
        self,
        pos_iou_thr: float = 0.35,
        compensation_iou_thr: float = 0.1,
        top_n: int | None = None,
        min_pos_iou: float = 0.001,
        **kwargs: Any,
    ) -> None:
        if not 0 <= compensation_iou_thr < pos_iou_thr <= 1:
            wish = '0 <= compensation_iou_thr < pos_iou_thr <= 1'
            got = f'{compensation_iou_thr!r} and {pos_iou_thr!r}'
            raise ConfigError(f'ScaleCompensatedAssigner: expected {wish}, got {got}')
        if top_n is not None:
            check_at_least(1, 'ScaleCompensatedAssigner', top_n=top_n)
        limits = dict.fromkeys(('pos_iou_thr', 'neg_iou_thr'), float(pos_iou_thr))
        kwargs = {'gt_max_assign_all': False, **kwargs}
        super().__init__(min_pos_iou=min_pos_iou, **limits, **kwargs)
        self.compensation_iou_thr, self.top_n = compensation_iou_thr, top_n

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Run both stages on the IoU of faces and anchors, ``(F, A)``, -1 for ignored anchors."""
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        if overlaps.numel() == 0:
            return result
        limits = self.compensation_iou_thr, self.top_n
        result.gt_inds = matches = compensate_matches(overlaps, result.gt_inds, *limits)
        matched = matches > 0
        result.labels[matched] = gt_labels[matches[matched] - 1]
        return result
