"""Sizes from the heads of files."""

from pathlib import Path

import numpy as np
import pytest

from sci_plugins.errors import DataError
from sci_plugins.utils.images import read_image_size, write_image


def test_width_comes_first(tmp_path: Path) -> None:
    write_image(tmp_path / 'a.png', np.zeros((20, 30, 3), np.uint8))
    assert read_image_size(tmp_path / 'a.png') == (30, 20)
    assert read_image_size(str(tmp_path / 'a.png')) == (30, 20)


@pytest.mark.parametrize('content', [b'', b'not a picture'])
def test_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(DataError, match=r'a.png cannot be read as an image'):
        read_image_size(tmp_path / 'a.png')


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'a.png: there is no such image'):
        read_image_size(tmp_path / 'a.png')
