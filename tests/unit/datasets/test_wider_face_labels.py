"""WIDER FACE's text: what reads, and what is refused with file and line."""

from pathlib import Path

import pytest

from sci_plugins.datasets.wider_face import WiderFace, read_wider_face
from sci_plugins.errors import DataError

TEXT = """0--Parade/a.jpg
2
449 330 122 149 0 0 0 0 0 0
78 221 7 0 2 0 0 1 2 0
1--Handshaking/b.jpg
0
0 0 0 0 0 0 0 0 0 0
2--Riot/c.jpg
1
1 2 3 4 1 1 1 0 1 1
"""


def _read(folder: Path, text: str) -> dict[str, list[WiderFace]]:
    (folder / 'gt.txt').write_bytes(text.encode())
    return read_wider_face(folder / 'gt.txt')


@pytest.mark.parametrize('text', [TEXT, TEXT.replace('\n', '\r\n'), TEXT.strip() + ' \n\n'])
def test_images_and_faces(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, text) == {
        '0--Parade/a.jpg': [
            WiderFace((449, 330, 571, 479), blur=0, occlusion=0, invalid=False),
            WiderFace((78, 221, 85, 221), blur=2, occlusion=2, invalid=True),
        ],
        '1--Handshaking/b.jpg': [],
        '2--Riot/c.jpg': [WiderFace((1, 2, 4, 6), blur=1, occlusion=1, invalid=False)],
    }


@pytest.mark.parametrize(
    ('old', 'new', 'words'),
    [
        ('\n2\n', '\n1\n', "line 4: expected the name of an image .* got '78 221"),
        ('\n2\n', '\n3\n', "line 5: expected ten whole numbers .* got '1--Hand"),
        ('\n1\n1 2', '\n2\n1 2', 'gt.txt: ends before the last face of 2--Riot/c.jpg'),
        ('\n2\n', '\nx\n', "line 2: expected the number of faces .* got 'x'"),
        ('449 330', '449 x', 'line 3: expected ten whole numbers'),
        ('449 330', '330', 'line 3: expected ten whole numbers'),
        (
            '0 0 0 0 0 0 0 0 0 0',
            '5 5 9 9 0 0 0 0 0 0',
            'line 6: expected no face .* to follow, got one',
        ),
        ('2--Riot/c.jpg', '0--Parade/a.jpg', 'line 8: duplicate image 0--Parade/a.jpg'),
        (TEXT, '', 'gt.txt: names no image'),
        (TEXT, 'a.jpg\n', 'gt.txt: ends before the number of faces of a.jpg'),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in TEXT
    with pytest.raises(DataError, match=words):
        _read(tmp_path, TEXT.replace(old, new, 1))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='there is no such annotation file'):
        read_wider_face(tmp_path / 'none.txt')
