"""S3FD's matching of anchors and faces, for mmdet."""

from typing import Any

from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from torch import Tensor

from sci_plugins.errors import ConfigError
from sci_plugins.functional.anchor_matching import compensate_matches
from sci_plugins.registry import TASK_UTILS


@TASK_UTILS.register_module()
class ScaleCompensatedAssigner(MaxIoUAssigner):
    """Scale compensation anchor matching (S3FD, arXiv 1708.05237, section 3.2).

    Stage one is mmdet's ``MaxIoUAssigner`` as SSD uses it (each face takes its best
    anchor, each anchor its best face from a threshold on), with the threshold lowered
    from 0.5 to 0.35. Stage two is
    :func:`sci_plugins.functional.anchor_matching.compensate_matches`.

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
        if top_n is not None and (not isinstance(top_n, int) or top_n < 1):
            raise ConfigError(
                'ScaleCompensatedAssigner: top_n must be a whole number above 0 or '
                f'None, got {top_n!r}'
            )
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
