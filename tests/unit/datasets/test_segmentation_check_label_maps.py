"""Label maps are read as they are stored."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sci_plugins.datasets.segmentation_check import read_label_map, tell_colours, tell_sizes
from sci_plugins.errors import DataError


def test_numbers_as_stored(tmp_path: Path) -> None:
    values = np.array([[0, 18, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / 'grey.png')
    palette = Image.fromarray(values).convert('L')
    palette.putpalette([7] * 768)
    palette.save(tmp_path / 'palette.png')
    Image.fromarray(np.array([[300]], np.uint16)).save(tmp_path / 'deep.png')
    np.testing.assert_array_equal(read_label_map(tmp_path / 'grey.png'), values)
    np.testing.assert_array_equal(read_label_map(tmp_path / 'palette.png'), values)
    assert read_label_map(tmp_path / 'deep.png').tolist() == [[300]]


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(b'no image')
    with pytest.raises(DataError, match=r'a\.png cannot be read as a label map'):
        read_label_map(path)


def test_sentences() -> None:
    assert 'x.png: is RGB-encoded (3 channels)' in tell_colours('x.png', (4, 6, 3))
    assert tell_sizes('l', (2, 3), 'i', (4, 5)) == 'l: is 3x2, its image i 5x4'
