"""S3FD, made from mmdet's SSD: backbone, neck, head and anchor matching.

Source: Zhang et al., "S3FD: Single Shot Scale-invariant Face Detector", ICCV 2017,
arXiv 1708.05237.
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

    def __init__(self, fc6_dilation: int = 1, init_cfg: dict | list[dict] | None = None) -> None:
        check_at_least(1, 'S3FDVGG', fc6_dilation=fc6_dilation)
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
            in_channels, out_channels, level_strides, level_paddings, l2_norm_scale=None, **kwargs
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


def max_out_background(scores: Tensor, classes: int = 1) -> Tensor:
    """Keep the class scores and the largest of the background scores.

    S3FD (Zhang et al., ICCV 2017, arXiv 1708.05237), section 3.3: most false positives
    come from the smallest anchors, which are by far the most. With several background
    scores, trained like one through the largest, they are called a face more rarely.

    Args:
        scores: ``(N, classes + K, H, W)``, before the softmax, of one anchor a
            location; the background's K scores come last, as mmdet has it (in the
            authors' files they come first).
        classes: number of classes without the background.

    Returns:
        ``(N, classes + 1, H, W)``.
    """
    background = scores[:, classes:].amax(dim=1, keepdim=True)
    return torch.cat([scores[:, :classes], background], dim=1)


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
        check_at_least(1, 'S3FDHead', max_out=max_out)
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
            conv.in_channels, num_classes + max_out, conv.kernel_size, padding=conv.padding
        )

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        scores, boxes = super().forward(x)
        scores[0] = max_out_background(scores[0], self.num_classes)
        return scores, boxes


def compensate_matches(
    overlaps: Tensor, matches: Tensor, min_iou: float = 0.1, top_n: int | None = None
) -> Tensor:
    """Give more anchors to faces that a first stage left with too few.

    S3FD (Zhang et al., ICCV 2017, arXiv 1708.05237), section 3.2, stage two: faces
    whose size lies between those of the anchors, and those smaller than all of them,
    match few anchors by a threshold. Each face with fewer than N takes, of the anchors
    that overlap it by more than ``min_iou``, the N that do so most; N is the average
    number of anchors that a face of this image has from stage one.

    What the paper leaves open: an average that is no whole number is rounded up, so
    that every face below it is helped. No anchor is taken from another face. An anchor
    that several faces ask for goes to the one that it overlaps most, and of equals to
    the first. A face keeps what it had.

    Args:
        overlaps: IoU of each face with each anchor, ``(F, A)``; below 0 for anchors
            that are to be left out.
        matches: result of stage one, ``(A,)``, integers: 0 for background, -1 for
            anchors that take no part, ``f + 1`` for the face ``f``.
        min_iou: anchors of stage two overlap by more than this, in [0, 1).
        top_n: a number of your own in place of the average. Where all faces of an
            image are tiny, the average is one and helps none of them.

    Returns:
        Matches as ``matches``, with those of stage two, ``(A,)``.
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

    Where a face has fewer than ``n`` candidates, its row ends with an IoU of -1.
    """
    overlaps = overlaps[faces]
    is_free = (matches <= 0) | (matches == faces[:, None] + 1)
    is_candidate = is_free & (overlaps > min_iou)
    # Few anchors are near any face, and a stable sort of all of them is slow.
    near = is_candidate.any(dim=0).nonzero().flatten()
    candidates = overlaps[:, near].masked_fill(~is_candidate[:, near], -1)
    order = candidates.sort(dim=1, descending=True, stable=True)
    return order.values[:, :top_n], near[order.indices[:, :top_n]]


def _share_out(matches: Tensor, wanted: Tensor, anchors: Tensor, faces: Tensor) -> Tensor:
    """Each anchor to the face that wants it and that it overlaps most."""
    is_wanted = wanted > 0
    highest = wanted.new_zeros(len(matches)).scatter_reduce(
        0, anchors[is_wanted], wanted[is_wanted], 'amax'
    )
    wins = is_wanted & (wanted == highest[anchors])
    numbers = (faces[:, None] + 1).expand_as(anchors)
    # Of equals the first: a plain assignment would leave that to the device.
    nobody = len(faces) + int(faces.max()) + 1
    winner = matches.new_full((len(matches),), nobody).scatter_reduce(
        0, anchors[wins], numbers[wins], 'amin'
    )
    return torch.where(winner < nobody, winner, matches)


@TASK_UTILS.register_module()
class ScaleCompensatedAssigner(MaxIoUAssigner):
    """Scale compensation anchor matching (S3FD, arXiv 1708.05237, section 3.2).

    Stage one is mmdet's ``MaxIoUAssigner`` as SSD uses it (each face takes its best
    anchor, each anchor its best face from a threshold on), with the threshold lowered
    from 0.5 to 0.35. Stage two is
    :func:`sci_plugins.models.detectors.s3fd.compensate_matches`.

    Args:
        pos_iou_thr: threshold of stage one; below it an anchor is background.
        compensation_iou_thr: anchors of stage two overlap by more than this.
        top_n: faces with fewer anchors than this are given more, up to as many;
            ``None`` for the average of the image.
        min_pos_iou: smallest overlap of a face with its best anchor. Above 0, or a face
            that no anchor touches would take the first one.
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
            raise ConfigError(
                'ScaleCompensatedAssigner: expected 0 <= compensation_iou_thr < '
                f'pos_iou_thr <= 1, got {compensation_iou_thr!r} and {pos_iou_thr!r}'
            )
        if top_n is not None:
            check_at_least(1, 'ScaleCompensatedAssigner', top_n=top_n)
        super().__init__(
            pos_iou_thr=float(pos_iou_thr),
            neg_iou_thr=float(pos_iou_thr),
            min_pos_iou=min_pos_iou,
            **{'gt_max_assign_all': False, **kwargs},
        )
        self.compensation_iou_thr = compensation_iou_thr
        self.top_n = top_n

    def assign_wrt_overlaps(self, overlaps: Tensor, gt_labels: Tensor) -> AssignResult:
        """Both stages.

        Args:
            overlaps: IoU of faces and anchors, ``(F, A)``, -1 for ignored anchors.
            gt_labels: class of each face, ``(F,)``.
        """
        result = super().assign_wrt_overlaps(overlaps, gt_labels)
        if overlaps.numel() == 0:
            return result
        matches = compensate_matches(
            overlaps, result.gt_inds, self.compensation_iou_thr, self.top_n
        )
        matched = matches > 0
        result.gt_inds = matches
        result.labels[matched] = gt_labels[matches[matched] - 1]
        return result
