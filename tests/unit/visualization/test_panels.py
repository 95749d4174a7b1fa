"""Pictures: boxes and labels stand where they belong, on images of any size."""

from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from sci_plugins.visualization.panels import (
    CELL_WIDTH,
    GAP,
    box_colors,
    class_colors,
    draw_boxes,
    draw_sample,
    enlarge,
    make_grid,
    overlay_labels,
    palette_of,
    place_beside,
)

GREY = 90


def _image(height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def _sample(**settings: Any) -> BaseDataElement:
    """A host's data sample; ``scale_factor`` is (x, y) from original to network scale."""
    return BaseDataElement(metainfo=settings)


def _changed(drawn: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs from grey."""
    rows, columns = np.nonzero((drawn != GREY).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


@pytest.mark.parametrize(('height', 'width'), [(48, 64), (1080, 1920), (1, 1), (3, 500)])
def test_every_cell_has_one_width(height: int, width: int) -> None:
    large, zoom = enlarge(_image(height, width))
    assert large.shape[1] == 480
    assert zoom == pytest.approx(480 / width)
    assert large.shape[0] == pytest.approx(height * zoom, abs=1)


def _assert_at(drawn: np.ndarray, box: list[int]) -> None:
    np.testing.assert_allclose(np.array(_changed(drawn)) * 64 / 480, box, atol=0.5)


@pytest.mark.parametrize('scale', [(1.0, 1.0), (2.0, 0.5)])
def test_boxes_stand_at_their_place(scale: tuple[float, float]) -> None:
    """Boxes are in the original's pixels, the image at the network's scale."""
    box = torch.tensor([[8.0, 16.0, 24.0, 40.0]])
    box /= torch.tensor([*scale, *scale])
    drawn = draw_boxes(_image(), box, _sample(scale_factor=scale), 'white')
    _assert_at(drawn, [8, 16, 24, 40])


def test_no_scale_factor_means_none() -> None:
    box = torch.tensor([[8.0, 16.0, 24.0, 40.0]])
    drawn = draw_boxes(_image(), box, _sample(), 'white')
    _assert_at(drawn, [8, 16, 24, 40])


@pytest.mark.parametrize(
    'boxes', [torch.zeros(0, 4), np.zeros((0, 4)), torch.tensor([[5.0, 5.0, 5.0, 5.0]])]
)
def test_no_boxes_and_boxes_without_area(boxes: Any) -> None:
    drawn = draw_boxes(_image(), boxes, _sample(), 'white')
    assert drawn.shape == (360, 480, 3)


def test_boxes_of_mmdet_s_own_type() -> None:
    from mmdet.structures.bbox import HorizontalBoxes

    boxes = HorizontalBoxes(torch.tensor([[8.0, 16.0, 24.0, 40.0]]))
    drawn = draw_boxes(_image(), boxes, _sample(), 'white')
    _assert_at(drawn, [8, 16, 24, 40])


def test_only_confident_predictions_are_drawn() -> None:
    boxes = torch.tensor([[8.0, 8.0, 16.0, 16.0], [32.0, 24.0, 48.0, 40.0]])
    scores = torch.tensor([0.29, 0.3])
    sample = _sample()
    sample.pred_instances = InstanceData(bboxes=boxes, scores=scores)
    drawn = draw_sample('pred', _image(), sample, None)
    red = (drawn == (255, 65, 54)).all(axis=2)[..., None]
    _assert_at(np.where(red, drawn, GREY), [32, 24, 48, 40])
    assert (drawn[:150, :150] == GREY).all()


@pytest.mark.parametrize(('top', 'above'), [(24, True), (0, False)])
def test_predictions_carry_their_scores(top: int, above: bool) -> None:
    """Above the box, or below where there is no room; the truth has none."""
    sample = _sample()
    boxes = torch.tensor([[32.0, top, 48, top + 16]])
    sample.pred_instances = InstanceData(
        bboxes=boxes, scores=torch.tensor([0.87]), labels=torch.tensor([0])
    )
    sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([0]))
    found = draw_sample('pred', _image(), sample, None)
    other_score = sample.clone()
    other_score.pred_instances.scores = torch.tensor([0.42])
    rows, columns = np.nonzero(
        (found != draw_sample('pred', _image(), other_score, None)).any(axis=2)
    )
    assert len(rows)
    low, high = rows.min() * 64 / 480, rows.max() * 64 / 480
    assert (high < top) if above else (low > top + 16)
    assert 28 < columns.min() * 64 / 480 < 48
    truth = draw_sample('gt', _image(), sample, None)
    assert _changed(truth)[1] * 64 / 480 > top - 1


def test_truth_and_prediction_have_different_colours() -> None:
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    sample = _sample()
    sample.gt_instances = InstanceData(bboxes=boxes)
    sample.pred_instances = InstanceData(bboxes=boxes, scores=torch.ones(1))
    truth = draw_sample('gt', _image(), sample, None)
    found = draw_sample('pred', _image(), sample, None)
    line = (slice(8 * 15 // 2, 8 * 15 // 2 + 2), slice(100, 200))
    red, green, _ = truth[line].reshape(-1, 3).mean(axis=0)
    assert green > red
    red, green, _ = found[line].reshape(-1, 3).mean(axis=0)
    assert red > green


PALETTE = [[200, 0, 0], [0, 200, 0]]


def test_labels_take_the_palette_s_colours() -> None:
    labels = np.zeros((48, 64), np.int64)
    labels[:, 32:] = 1
    labels[:24, :] = 255  # not labelled: the image shows
    drawn = overlay_labels(_image(), labels, PALETTE)
    assert (drawn[:170] == GREY).all()
    left, right = drawn[200:, :230].reshape(-1, 3), drawn[200:, 250:].reshape(-1, 3)
    assert (left[:, 0] > left[:, 1]).all()
    assert (right[:, 1] > right[:, 0]).all()


@pytest.mark.parametrize('palette', [None, []])
def test_labels_without_a_palette(palette: Any) -> None:
    labels = np.arange(48 * 64).reshape(48, 64) // 1024
    drawn = overlay_labels(_image(), labels, palette)
    assert len({tuple(drawn[row, 5]) for row in (20, 180, 300)}) == 3


def test_label_maps_of_samples() -> None:
    sample = _sample()
    truth, found = torch.zeros(1, 48, 64).long(), torch.ones(1, 48, 64).long()
    sample.gt_sem_seg, sample.pred_sem_seg = PixelData(data=truth), PixelData(data=found)
    assert draw_sample('gt', _image(), sample, PALETTE).mean(axis=(0, 1)).argmax() == 0
    assert draw_sample('pred', _image(), sample, PALETTE).mean(axis=(0, 1)).argmax() == 1


def test_a_label_map_at_the_original_s_size() -> None:
    labels = np.ones((480, 640), np.uint8)
    assert overlay_labels(_image(), labels, PALETTE).shape == (360, 480, 3)


def test_a_sample_without_anything_gives_the_bare_image() -> None:
    wanted = enlarge(_image())[0]
    for kind in ('gt', 'pred'):
        np.testing.assert_array_equal(draw_sample(kind, _image(), _sample(), None), wanted)


def test_the_image_is_not_drawn_on() -> None:
    image = _image(360, 480)  # the size of a cell: no resizing makes a copy
    sample = _sample()
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    sample.gt_instances = InstanceData(bboxes=boxes)
    draw_sample('gt', image, sample, None)
    assert (image == GREY).all()


def _cell(color: int, height: int = 20, width: int = 30) -> tuple[str, np.ndarray]:
    # not grey, which the caption's letters are at their edges
    return 'a caption', np.full((height, width, 3), (color, 0, 255), np.uint8)


def _where(sheet: np.ndarray, color: int) -> np.ndarray:
    return (sheet == (color, 0, 255)).all(axis=2)


def test_a_grid_holds_every_cell_whole() -> None:
    sheet = np.asarray(make_grid([[_cell(10), _cell(20)], [_cell(30, 40), _cell(40)]]))
    for color, area in ((10, 600), (20, 600), (30, 1200), (40, 600)):
        assert _where(sheet, color).sum() == area
    tops = [np.nonzero(_where(sheet, color))[0].min() for color in (10, 20, 30, 40)]
    assert tops[0] == tops[1] < tops[2] == tops[3]


def test_a_grid_with_rows_of_different_length() -> None:
    sheet = np.asarray(make_grid([[_cell(10)], [_cell(20), _cell(30)]]))
    for color in (10, 20, 30):
        assert _where(sheet, color).sum() == 600


def test_captions_are_written() -> None:
    with_caption = np.asarray(make_grid([[_cell(10)]]))
    without = np.asarray(make_grid([[('', _cell(10)[1])]]))
    assert with_caption.shape == without.shape
    assert (with_caption != without).any()


def test_sheets_beside_one_another() -> None:
    left, right = Image.new('RGB', (8, 5), 'red'), Image.new('RGB', (9, 2), 'blue')
    sheet = np.asarray(place_beside(left, right))
    assert sheet.shape == (5, 8 + 9 - GAP, 3)
    assert (sheet[:, :8] == [255, 0, 0]).all()
    assert (sheet[:2, 8:] == [0, 0, 255]).all()
    assert (sheet[2:, 8:] == 255).all()


def test_sheets_beside_one_another_are_one_grid() -> None:
    cells = [('a', _image(48, CELL_WIDTH)), ('b', _image(48, CELL_WIDTH))]
    both = place_beside(make_grid([cells[:1]]), make_grid([cells[1:]]))
    assert both.size == make_grid([cells]).size


def test_bright_colours_of_a_palette_are_not_turned_into_others() -> None:
    labels = np.zeros((48, 64), np.uint8)
    drawn = overlay_labels(_image(), labels, [(255, 128, 64)])
    wanted = [(GREY + 2 * value) // 3 for value in (255, 128, 64)]
    assert (drawn == wanted).all()


def test_a_caption_ends_within_its_column() -> None:
    """What is too long loses its beginning: the end says what the picture is."""
    wide = np.full((20, 150, 3), 255, np.uint8)
    long = make_grid([[('sci/some/long/path.pth: predictions', wide), ('', wide)]])
    pixels = np.asarray(long.convert('L'))[:20]
    assert (pixels[:, :154] < 128).any()
    assert (pixels[:, 154:] == 255).all()
    short = make_grid([[('predictions', wide), ('', wide)]])
    assert (np.asarray(short) != np.asarray(long)).any()
    first, second, other = (
        np.asarray(make_grid([[(start * 40 + end * 30, wide)]]))
        for start, end in (('a', 'z'), ('b', 'z'), ('a', 'y'))
    )
    assert (first == second).all()
    assert (first != other).any()


def test_boxes_of_several_classes_have_the_colours_of_the_legend() -> None:
    """Bright ones: those of the palette may not be seen in the dark."""
    palette = [(0, 0, 0)] * 12
    colors = class_colors(12)
    apart = np.abs(np.array(colors)[:, None] - np.array(colors))
    assert np.sort(apart.sum(-1), axis=1)[:, 1].min() > 60
    assert min(max(color) for color in colors) >= 200
    pale = [min(color) > 100 for color in colors]
    assert pale == [False, True] * 6
    assert box_colors([3, 0], palette, 'red') == [colors[3], colors[0]]
    assert box_colors([0, 0], palette[:1], 'red') == 'red'
    one = palette_of(dict(classes=('thing',), palette=palette))  # as of mmdet's COCO
    assert box_colors([0, 0], one, 'red') == 'red'
    assert box_colors([0, 0], None, 'red') == box_colors(None, palette, 'red') == 'red'
    boxes = np.array([[10.0, 10, 30, 30], [40.0, 10, 60, 30]])
    drawn = draw_boxes(_image(), boxes, _sample(), box_colors([3, 0], palette, 'red'))
    for color, columns in ((colors[3], slice(0, 255)), (colors[0], slice(255, None))):
        assert (drawn[:, columns] == color).all(axis=-1).sum() > 100
