"""Sheets of pictures: what stands where, and what a resumed run adds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from PIL import Image

from sci_plugins.apis.compare.changed import PictureBook, draw_sides, draw_start
from sci_plugins.engine.hooks import KeptSample

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
    (_, image), (title, truth) = draw_start(_sample(), None, np.array([[20.0, 10.0, 60.0, 50.0]]))
    assert title == 'ground truth'
    assert (image == 40).all()
    wanted = [value * 0.5 * 7.5 for value in (20, 10, 60, 50)]
    np.testing.assert_allclose(_green(truth), wanted, atol=2)


def test_the_sample_s_own_truth_where_no_other_is_given() -> None:
    assert _green(draw_start(_sample(boxes=[[20.0, 10.0, 60.0, 50.0]]), None)[1][1])
    assert _green(draw_start(_sample(), None)[1][1]) is None
    assert _green(draw_start(_sample(), None, np.zeros((0, 4)))[1][1]) is None


def test_label_maps_are_the_truth_of_segmentation() -> None:
    sample = _sample()
    sample.output.gt_sem_seg = PixelData(data=torch.zeros(1, 48, 64).long())
    truth = draw_start(sample, [(0, 255, 0)], np.zeros((0, 4)))[1][1]
    assert (truth[..., 1] > truth[..., 0]).all()


def test_a_variant_s_column() -> None:
    above, below = draw_sides('sci', _sample(), None)
    assert above[0] == 'sci: what the model sees'
    assert (above[1] == 200).all()
    assert below[0] == 'sci: predictions'
    assert (below[1] != 200).any()
