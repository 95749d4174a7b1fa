"""How strongly an image was compressed: the grid of JPEG's 8 x 8 blocks.

JPEG rounds each block by itself, so that values jump where two blocks meet. A sensor's noise that
was compressed is no longer white: its finest detail is gone, and what is left looks like texture.
The jumps tell it from texture, and how strong it is.

Source: the grid against what lies between, as by Wang, Sheikh and Bovik ("No-reference perceptual
quality assessment of JPEG compressed images", 2002); here from capped jumps, at whichever of the
eight places the grid lies, and as the noise that would jump as much.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sci_plugins.functional.image_quality import LUMA, check_images
from sci_plugins.functional.noise import DETAIL_OF_NOISE
from sci_plugins.functional.tensors import constant, is_exporting

MIN_SIDE = 64  #: smallest side in pixels: in smaller images chance makes grids
_BLOCK = 8
_STEP = 8  # every so many rows (and columns) are looked at
# Variance of a jump, 3 (b - a) - (c - z) of the neighbours z a | b c, of white noise of variance 1.
_JUMP = 20.0
_CAP = 4.0  # of the mean jump: edges count no more
_FLOOR = 0.02 / 255  # a fiftieth of an 8-bit step: the floor of ratios
# Jumps on the grid over those between, from where on it counts and where it is certain. Of 120
# photographs (COCO, facemask, CamVid), darkened to .1 and .02, nine in ten have up to 1.4;
# compressed at quality 70 afterwards, with noise or without, nine in ten from 1.6 on.
_SHOWN = (1.45, 1.65)


class BlockingEstimate(NamedTuple):
    """Of each image; all ``(N,)``, without gradient."""

    evidence: Tensor  # 0: no grid; 1: certainly compressed, as the image is now
    #: of white noise that jumps as much, in the unit of
    #: :class:`sci_plugins.functional.noise.NoiseEstimate`: finest luma detail of the squared image
    sigma: Tensor


@torch.no_grad()
def estimate_blocking(image: Tensor) -> BlockingEstimate:
    """Blocks of JPEG in each image of RGB ``(N, 3, H, W)``, float, [0, 1], by itself.

    They show in the image as it was decoded, cropped or not; a resize hides them, and none is found
    in less than 64 x 64 pixels. ``sigma`` is .5 to 1.1 of the standard deviation of all that noise
    and compression changed, on photographs darkened to .3 to .03 with noise up to .004 and
    compressed at a quality of 85 to 50; above 85 it hardly shows. ValueError for other shapes.
    """
    check_images('estimate_blocking', image=image)
    image = image.to(torch.promote_types(image.dtype, torch.float32))
    none = image.new_zeros(len(image))
    if not is_exporting() and min(image.shape[2:]) < MIN_SIDE:
        return BlockingEstimate(none, none)
    weights = constant(LUMA, image)
    rows = torch.einsum('nchw,c->nhw', image[:, :, ::_STEP], weights)
    columns = torch.einsum('nchw,c->nwh', image[:, :, :, ::_STEP], weights)
    sides = [_jumps(lines) for lines in (rows, columns)]
    grid, between, excess = (sum(pair) for pair in zip(*sides, strict=True))
    low, high = _SHOWN
    evidence = (((grid + _FLOOR) / (between + _FLOOR) - low) / (high - low)).clamp(0, 1)
    if is_exporting():  # for images of any size
        for side in image.shape[2:]:
            evidence = evidence * (image.new_full((), side, dtype=torch.float64) >= MIN_SIDE)
    noise = (excess / (2 * _JUMP)).clamp_min(0).sqrt()
    # Of the luma, squared: the slope of the square at its mean.
    return BlockingEstimate(evidence, DETAIL_OF_NOISE * 2 * rows.mean((1, 2)) * noise)


def _jumps(lines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of ``(N, L, S)``: mean jump on the grid and between, and the energy that it has more."""
    jump = 3 * (lines[..., 2:-1] - lines[..., 1:-2]) - (lines[..., 3:] - lines[..., :-3])
    jump = jump.abs_()
    jump = jump.minimum(_CAP * jump.mean((1, 2), keepdim=True))
    sums = torch.stack([jump.mean(1), jump.square().mean(1)], 1)
    places = torch.stack([sums[..., place::_BLOCK].mean(2) for place in range(_BLOCK)], 2)
    # What a whole-numbered enlargement does comes again two or four places further.
    peers = places.unflatten(2, (_BLOCK // 2, 2))
    others = torch.stack([peers.roll(turn, 2) for turn in range(1, _BLOCK // 2)]).amax(0)
    grid = (peers[:, 0] - others[:, 0]).flatten(1).argmax(1)[:, None, None].expand(-1, 2, 1)
    found, between = (each.flatten(2).gather(2, grid)[..., 0] for each in (peers, others))
    return found[:, 0], between[:, 0], found[:, 1] - between[:, 1]
