"""Side-by-side pictures: input, enhanced image, predictions, ground truth."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

#: Predictions below this score are not drawn.
SCORE_THRESHOLD = 0.3
TRUTH_COLOR = '#2ee62e'
PREDICTION_COLOR = '#ff4136'
#: Legible when a sheet is shown at half its size.
CAPTION_HEIGHT, _CAPTION_FONT = 28, 20
_SCORE_FONT = 14
GAP = 4
#: Pictures are brought to this width before anything is drawn, so that lines stay thin.
CELL_WIDTH = 480

BoxColors = str | list[tuple[int, int, int]]
Palette = Sequence[Any] | None  # RGB colour of each class


def draw_sample(kind: str, image: np.ndarray, sample: Any, palette: Palette) -> np.ndarray:
    """The image with its ground truth or with what the model found, boxes or a label map.

    ``kind`` is ``'gt'`` or ``'pred'``. The image is RGB, uint8, ``(H, W, 3)``, at the network's
    scale; it stays bare if ``sample``, the host's, has no such result.
    """
    if f'{kind}_sem_seg' in sample:
        return overlay_labels(image, sample.get(f'{kind}_sem_seg').data[0].cpu().numpy(), palette)
    if f'{kind}_instances' in sample:
        shown, scores, color = sample.get(f'{kind}_instances'), None, TRUTH_COLOR
        if kind == 'pred':
            shown, color = shown[shown.scores >= SCORE_THRESHOLD], PREDICTION_COLOR
            scores = shown.scores.tolist()
        colors = box_colors(shown.get('labels'), palette, color)
        return draw_boxes(image, shown.bboxes, sample, colors, scores)
    return enlarge(image)[0]


def draw_boxes(
    image: np.ndarray,
    boxes: Any,
    sample: Any,
    color: BoxColors,
    scores: Sequence[float] | None = None,
) -> np.ndarray:
    """Draw boxes, given in pixels of the original image, on the image at the network's scale.

    The image is RGB, uint8, ``(H, W, 3)``, the boxes are ``(N, 4)``, ``x1, y1, x2, y2``. ``sample``
    tells the scale; ``scores`` are written above the boxes.
    """
    boxes = torch.as_tensor(getattr(boxes, 'tensor', boxes)).float().cpu().reshape(-1, 4)
    large, zoom = enlarge(image)
    if len(boxes) == 0:
        return large
    scaled = boxes * torch.tensor(sample.get('scale_factor', (1.0, 1.0))).repeat(2) * zoom
    scaled[:, 2:] = torch.maximum(scaled[:, 2:], scaled[:, :2] + 1)
    tensor = torch.from_numpy(np.ascontiguousarray(large.transpose(2, 0, 1)))
    drawn = draw_bounding_boxes(tensor, scaled, colors=color, width=2).numpy().transpose(1, 2, 0)
    return drawn if scores is None else _write_scores(drawn, scaled, scores)


def _write_scores(image: np.ndarray, boxes: Tensor, scores: Sequence[float]) -> np.ndarray:
    """Write each score above its box, or below where there is no room; low scores first."""
    picture = Image.fromarray(image)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=_SCORE_FONT)
    for index in sorted(range(len(scores)), key=lambda index: scores[index]):
        text, (x1, y1, _, y2) = f'{scores[index]:.2f}', boxes[index].tolist()
        left = min(max(0.0, x1), image.shape[1] - font.getlength(text) - 1)
        top = y1 - _SCORE_FONT - 3 if y1 > _SCORE_FONT + 3 else y2 + 1
        pen.text((left, top), text, 'white', font, stroke_width=1, stroke_fill='black')
    return np.asarray(picture)


def box_colors(labels: Any, palette: Palette, single: str) -> BoxColors:
    """One colour per box if its class is known and the palette has several, else ``single``."""
    if labels is None or palette is None or len(palette) < 2:
        return single
    # Palettes are made for label maps: some colours are too dark for lines on dark images.
    colors = class_colors(len(palette))
    return [colors[int(label)] for label in labels]


def palette_of(metainfo: Mapping[str, Any]) -> Palette:
    """A data set's palette, cut to one colour per class if it has more."""
    palette, classes = metainfo.get('palette'), metainfo.get('classes')
    return palette if palette is None or classes is None else palette[: len(classes)]


def class_colors(count: int) -> list[tuple[int, int, int]]:
    """Bright RGB colours for the boxes of ``count`` classes, spread over all hues."""
    order = np.arange(count)
    # Saturation alternates, because the hues of neighbouring classes are close.
    colors = _of_hues(order * 180 // max(count, 1), np.where(order % 2, 110, 255), 255)
    return [(red, green, blue) for red, green, blue in colors.tolist()]


def _of_hues(hues: np.ndarray, saturation: np.ndarray | int, value: int) -> np.ndarray:
    """RGB colours ``(N, 3)``, uint8; hues are in [0, 180), the others in [0, 255]."""
    if not len(hues):
        return np.zeros((0, 3), np.uint8)  # OpenCV refuses empty images
    hsv = np.stack(np.broadcast_arrays(hues, saturation, value), -1).astype(np.uint8)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def overlay_labels(image: np.ndarray, labels: np.ndarray, palette: Palette) -> np.ndarray:
    """Blend a label map over the image, two to one; ignored pixels show the image."""
    large, _ = enlarge(image)
    size = (large.shape[1], large.shape[0])
    labels = cv2.resize(labels.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    chosen = np.asarray(palette or _of_hues(np.arange(255) * 37 % 180, 200, 230), np.uint8)
    colors = np.zeros((256, 3), np.uint16)  # twice a channel overflows 8 bits
    colors[: len(chosen)] = chosen
    mixed = (large + 2 * colors[labels]) // 3
    return np.where((labels < len(chosen))[..., None], mixed, large).astype(np.uint8)


def enlarge(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The image resized to the width of a cell, and the factor."""
    zoom = CELL_WIDTH / image.shape[1]
    size = (CELL_WIDTH, max(1, round(image.shape[0] * zoom)))
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=method), zoom


def make_grid(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> Image.Image:
    """Put cells, (caption, RGB uint8 image ``(H, W, 3)``), on one sheet, row by row."""
    columns = zip_longest(*([image.shape[1] for _, image in row] for row in rows), fillvalue=0)
    widths = [max(column) for column in columns]
    heights = [max(image.shape[0] for _, image in row) for row in rows]
    width = sum(widths) + GAP * (len(widths) + 1)
    height = sum(heights) + (CAPTION_HEIGHT + GAP) * len(heights) + GAP
    sheet = Image.new('RGB', (width, height), 'white')
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=_CAPTION_FONT)
    top = GAP
    for row, row_height in zip(rows, heights, strict=True):
        left = GAP
        for (caption, image), column_width in zip(row, widths, strict=False):
            pen.text((left, top), _shortened(caption, font, column_width), 'black', font)
            sheet.paste(Image.fromarray(image), (left, top + CAPTION_HEIGHT))
            left += column_width + GAP
        top += row_height + CAPTION_HEIGHT + GAP
    return sheet


def _shortened(caption: str, font: Any, width: int) -> str:
    """The caption, or only its end if it is wider than its column."""
    ends = (caption, *(f'…{caption[start:]}' for start in range(len(caption))))
    return next((end for end in ends if font.getlength(end) <= width), '…')


def place_beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two sheets side by side, on white, as one grid."""
    size = (left.width + right.width - GAP, max(left.height, right.height))
    sheet = Image.new('RGB', size, 'white')
    sheet.paste(right, (left.width - GAP, 0))
    sheet.paste(left, (0, 0))
    return sheet


def image_cell(caption: str, image: Tensor) -> tuple[str, np.ndarray]:
    """A cell for :func:`make_grid`: ``image``, RGB, ``(3, H, W)``, in [0, 1], and its mean."""
    # Truncated to 8 bits, as in saved files.
    pixels = (image.detach().float().cpu().clamp(0, 1) * 255).to(torch.uint8)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    return f'{caption}, mean {float(image.mean()):.2f}', enlarge(array)[0]
