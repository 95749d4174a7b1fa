"""Which anchors learn which face: the second stage of S3FD's matching."""

import torch
from torch import Tensor


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
