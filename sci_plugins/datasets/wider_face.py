"""WIDER FACE for mmdet, with its own text annotations."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sci_plugins.datasets import text_labels
from sci_plugins.datasets.text_labels import FACE, Box, TextLabelDataset, is_upright, line_error
from sci_plugins.errors import ConfigError, DataError, shorten
from sci_plugins.registry import DATASETS
from sci_plugins.utils.files import read_numbered_lines

_COLUMNS = 'x y w h blur expression illumination invalid occlusion pose'


@dataclass(frozen=True)
class WiderFace:
    """One annotated face."""

    box: Box  # ``(x1, y1, x2, y2)`` in pixels; empty for some faces of the real data
    blur: int  # 0 clear, 1 normal, 2 heavy
    occlusion: int  # 0 none, 1 partial (1-30 %), 2 heavy (over 30 %)
    invalid: bool  # marked by the authors as too unclear to be used


def read_wider_face(path: str | Path) -> dict[str, list[WiderFace]]:
    """Image name, such as ``0--Parade/x.jpg``, -> its faces.

    For each image the file has its name, the number of faces, and a line per face, or one of zeros.
    A DataError names file and line, if it is missing, not text, or of another layout.
    """
    lines = iter(read_numbered_lines(Path(path), 'annotation file'))
    images: dict[str, list[WiderFace]] = {}
    for number, name in lines:
        if not name.lower().endswith('.jpg'):
            got = f'{name!r}: the number of faces before it may be wrong'
            raise line_error(path, number, 'the name of an image (FOLDER/NAME.jpg)', got)
        if name in images:
            raise DataError(f'{path}, line {number}: duplicate image {shorten(name)}')
        images[name] = _read_faces(path, name, lines)
    if not images:
        raise DataError(f'{path}: names no image')
    return images


def _read_faces(path: str | Path, name: str, lines: Iterator[tuple[int, str]]) -> list[WiderFace]:
    number, text = next(lines, (0, ''))
    if not text:
        raise DataError(f'{path}: ends before the number of faces of {shorten(name)}')
    if not text_labels.is_count(text):
        raise line_error(path, number, f'the number of faces of {name}', repr(text))
    count = int(text)
    # An image without faces has one line, of zeros.
    faces = [_parse(path, name, next(lines, None)) for _ in range(max(count, 1))]
    if count == 0 and faces[0].box != (0, 0, 0, 0):
        raise line_error(path, number, f'no face of {name} to follow', 'one')
    return faces[:count]


def _parse(path: str | Path, name: str, line: tuple[int, str] | None) -> WiderFace:
    if line is None:
        raise DataError(f'{path}: ends before the last face of {shorten(name)}')
    number, text = line
    values = text_labels.parse_numbers(text.split(), int)
    if len(values) != 10:
        raise line_error(path, number, f'ten whole numbers {_COLUMNS}', repr(text))
    x, y, width, height, blur, _, _, invalid, occlusion, _ = values
    return WiderFace((x, y, x + width, y + height), blur, occlusion, bool(invalid))


@DATASETS.register_module()
class WiderFaceTextDataset(TextLabelDataset):
    """``wider_face_split/wider_face_{train,val}_bbx_gt.txt``, without conversion to XML.

    Faces that are marked as invalid or have an empty box are ignored: finding them is neither right
    nor wrong. The two limits ignore more faces.

    Args:
        ann_file: the text file, below ``data_root``.
        data_prefix: such as ``dict(img='WIDER_train/images')``, below ``data_root``.
        max_blur: ignore faces with more blur, 0 (clear) to 2 (heavy: keep all).
        max_occlusion: ignore faces with more occlusion, 0 to 2 (keep all).
        **kwargs: those of :class:`TextLabelDataset`, whose errors this has too.

    Raises:
        ConfigError: if a limit is out of range.
    """

    NAME: ClassVar[str] = 'WIDER FACE'
    METAINFO: ClassVar[dict] = FACE

    def __init__(
        self, *args: Any, max_blur: int = 2, max_occlusion: int = 2, **kwargs: Any
    ) -> None:
        for name, value in dict(max_blur=max_blur, max_occlusion=max_occlusion).items():
            if value not in (0, 1, 2):
                raise ConfigError(f'WIDER FACE: {name} must be 0, 1 or 2, got {value!r}')
        self.max_blur, self.max_occlusion = max_blur, max_occlusion
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        folder, records = self.folder(), []
        for name, faces in read_wider_face(self.ann_file).items():
            objects = [(face.box, 0, self._is_ignored(face)) for face in faces]
            records.append(self.record(folder / name, name.removesuffix('.jpg'), objects))
        flags = [face['ignore_flag'] for record in records for face in record['instances']]
        told = f'{len(records)} images, {len(flags)} faces, {sum(flags)} of them ignored'
        self.log(told, logging.INFO)
        return records

    def _is_ignored(self, face: WiderFace) -> bool:
        kept = face.blur <= self.max_blur and face.occlusion <= self.max_occlusion
        return face.invalid or not is_upright(face.box) or not kept
