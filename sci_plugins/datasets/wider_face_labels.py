"""WIDER FACE's native text: ``wider_face_split/wider_face_*_bbx_gt.txt``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sci_plugins.errors import DataError
from sci_plugins.utils.files import read_numbered_lines

_COLUMNS = 'x y w h blur expression illumination invalid occlusion pose'


@dataclass(frozen=True)
class WiderFace:
    """One face of WIDER FACE.

    Args:
        box: ``(x1, y1, x2, y2)`` in pixels; empty for some faces of the real data.
        blur: 0 clear, 1 normal, 2 heavy.
        occlusion: 0 none, 1 partial (1-30 %), 2 heavy (over 30 %).
        invalid: marked as such: too unclear to be used.
    """

    box: tuple[float, float, float, float]
    blur: int
    occlusion: int
    invalid: bool


def read_wider_face(path: str | Path) -> dict[str, list[WiderFace]]:
    """Image name, such as ``0--Parade/x.jpg``, -> its faces.

    For each image the file has its name, the number of faces, and a line a face; for an
    image without faces one line of zeros follows.

    Raises:
        DataError: naming file and line, if the file is missing, is not text, or is not
            what the layout promises.
    """
    lines = iter(read_numbered_lines(Path(path), 'annotation file'))
    images: dict[str, list[WiderFace]] = {}
    for number, name in lines:
        if not name.lower().endswith('.jpg'):
            raise DataError(
                f'{path}, line {number}: should name an image (FOLDER/NAME.jpg), is '
                f'{name!r}: the number of faces before it may be wrong'
            )
        if name in images:
            raise DataError(f'{path}, line {number}: {name} comes again')
        images[name] = _read_faces(path, name, lines)
    if not images:
        raise DataError(f'{path}: names no image')
    return images


def _read_faces(
    path: str | Path, name: str, lines: Iterator[tuple[int, str]]
) -> list[WiderFace]:
    number, text = next(lines, (0, ''))
    if not text.isdecimal():
        where = f', line {number}' if number else ''
        raise DataError(
            f'{path}{where}: should hold the number of faces of {name}, is {text!r}'
        )
    count = int(text)
    # An image without faces has one line, of zeros.
    faces = [_parse(path, name, next(lines, None)) for _ in range(max(count, 1))]
    if count == 0 and faces[0].box != (0, 0, 0, 0):
        raise DataError(f'{path}, line {number}: promises no face of {name}, one follows')
    return faces[:count]


def _parse(path: str | Path, name: str, line: tuple[int, str] | None) -> WiderFace:
    if line is None:
        raise DataError(f'{path}: ends before the last face of {name}')
    number, text = line
    try:
        x, y, width, height, blur, _, _, invalid, occlusion, _ = map(int, text.split())
    except ValueError:
        raise DataError(
            f'{path}, line {number}: should hold ten whole numbers {_COLUMNS}, '
            f'is {text!r}'
        ) from None
    return WiderFace((x, y, x + width, y + height), blur, occlusion, bool(invalid))
