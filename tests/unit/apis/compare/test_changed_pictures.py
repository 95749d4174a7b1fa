"""Sheets of pictures: what stands where, and what a resumed run adds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from sci_plugins.apis.compare.changed import (
    PictureBook,
    draw_sides,
    draw_start,
    draw_unlabelled,
    find_unlabelled,
)
from sci_plugins.engine.hooks import KeptSample
from sci_plugins.evaluation.detection_records import DetectionRecords, ImageDetections

WIDTH, GAP = 480, 4


def _sample(index: int = 0, enhanced: int = 200, boxes: Any = None) -> KeptSample:
    """Grey 40 before, ``enhanced`` after; a detection in the middle."""
    output = BaseDataElement(metainfo=dict(scale_factor=(0.5, 0.5)))
    output.pred_instances = InstanceData(
        bboxes=torch.tensor([[40.0, 40.0, 80.0, 80.0]]), scores=torch.tensor([0.9])
    )
    if boxes is not None:
        output.gt_instances = InstanceData(bboxes=torch.tensor(boxes))
    image = np.full((48, 64, 3), 40, np.uint8)
    return KeptSample(index, f'{index}.png', image, np.full_like(image, enhanced), output)


def _columns(path: Path) -> list[float]:
    """Mean grey of the upper picture of each column."""
    with Image.open(path) as sheet:
        array = np.asarray(sheet.convert('L')).astype(float)
    count = array.shape[1] // WIDTH
    return [array[40:300, (WIDTH + GAP) * n + 20 :][:, :400].mean() for n in range(count)]


def test_a_sheet_an_image_a_column_a_variant(tmp_path: Path) -> None:
    book = PictureBook(tmp_path)
    for name, value in (('none', 40), ('sci', 200)):
        book.add(name, [_sample(3, value), _sample(12, value)], None)
        book.write()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0003_3.jpg', '0012_12.jpg']
    assert _columns(tmp_path / '0003_3.jpg') == pytest.approx([40, 40, 200], abs=2)


def test_a_resumed_run_adds_columns(tmp_path: Path) -> None:
    for name, value in (('none', 40), ('sci', 200)):
        book = PictureBook(tmp_path, go_on=True)
        book.add(name, [_sample(0, value)], None)
        book.write()
    with Image.open(tmp_path / '0000_0.jpg') as sheet:
        assert 3 * WIDTH < sheet.width < 3 * WIDTH + 40
    again = PictureBook(tmp_path)
    again.add('sci', [_sample(0)], None)
    again.write()
    with Image.open(tmp_path / '0000_0.jpg') as sheet:
        assert 2 * WIDTH < sheet.width < 2 * WIDTH + 40  # written anew


def test_nothing_to_draw(tmp_path: Path) -> None:
    book = PictureBook(tmp_path / 'none')
    book.add('none', [], None)
    book.write()
    assert not (tmp_path / 'none').exists()


def _green(picture: np.ndarray) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of what is green."""
    is_green = picture[..., 1].astype(int) - picture[..., 0] > 60
    rows, columns = np.nonzero(is_green)
    if not len(rows):
        return None
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_the_truth_of_the_data_set_is_in_original_pixels() -> None:
    """Original: twice the network's scale; the cell: 7.5 times that."""
    boxes = np.array([[20.0, 10.0, 60.0, 50.0]])
    (_, image), (title, truth) = draw_start(_sample(), None, (boxes, None))
    assert title == 'ground truth'
    assert (image == 40).all()
    wanted = [value * 0.5 * 7.5 for value in (20, 10, 60, 50)]
    np.testing.assert_allclose(_green(truth), wanted, atol=2)


def test_the_sample_s_own_truth_where_no_other_is_given() -> None:
    assert _green(draw_start(_sample(boxes=[[20.0, 10.0, 60.0, 50.0]]), None)[1][1])
    assert _green(draw_start(_sample(), None)[1][1]) is None
    assert _green(draw_start(_sample(), None, (np.zeros((0, 4)), None))[1][1]) is None


def test_label_maps_are_the_truth_of_segmentation() -> None:
    sample = _sample()
    sample.output.gt_sem_seg = PixelData(data=torch.zeros(1, 48, 64).long())
    truth = draw_start(sample, [(0, 255, 0)], (np.zeros((0, 4)), None))[1][1]
    assert (truth[..., 1] > truth[..., 0]).all()


def test_a_variant_s_column() -> None:
    above, below = draw_sides('sci', _sample(), None)
    assert above[0] == 'sci: what the model sees'
    assert (above[1] == 200).all()
    assert below[0] == 'sci: predictions'
    assert (below[1] != 200).any()


def test_the_surest_detections_without_ground_truth() -> None:
    boxes = np.array([[10.0, 10, 30, 30]])
    far, near = [60.0, 60, 80, 80], [12.0, 12, 30, 30]
    rows = np.array([[*far, 0.5], [*near, 0.9], [*far, 0.2]])
    second = np.array([[*far, 0.8]])
    images = [ImageDetections('a', rows, boxes), ImageDetections('b', second, boxes[:0])]
    found = find_unlabelled(DetectionRecords(images, coco=False))
    assert [(index, row[4]) for index, row in found] == [(1, 0.8), (0, 0.5)]


@pytest.mark.parametrize('left', [0, 40, 88])
def test_a_crop_holds_the_detection_in_its_middle(left: int) -> None:
    """At a border too, where black stands outside the image."""
    image = np.full((96, 100, 3), 120, np.uint8)
    image[40:52, left : left + 12] = 255
    output = BaseDataElement(metainfo=dict(scale_factor=(2.0, 2.0)))
    sample = KeptSample(0, 'a.png', image, image // 2, output)
    row = np.array([left / 2, 20, left / 2 + 6, 26, 0.9])
    sheet = np.asarray(draw_unlabelled([(0, row)], [sample]))
    for top, value in ((32, 255), (32 + 232 + 32, 127)):
        crop = sheet[top : top + 232, 4 : 4 + 232]
        rows, columns = np.nonzero((crop == value).all(axis=2))
        assert abs(rows.mean() - 115.5) < 3
        assert abs(columns.mean() - 115.5) < 3
