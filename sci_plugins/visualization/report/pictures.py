"""Sheets inside the file: as they are, smaller where they are too many, or fewer."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from sci_plugins.visualization.report.inputs import Sheet
from sci_plugins.visualization.report.wording import count

#: Largest size of all pictures together in the file, in bytes of base64.
BUDGET = 8_000_000
#: Widths in pixels and JPEG qualities to try, best first; ``None``: the file as it is.
_LEVELS = (None, (1600, 80), (1100, 70), (800, 60))
_SAMPLE = 6


@dataclass(frozen=True)
class Picture:
    """A sheet and its JPEG in base64; empty, with the reason, where it cannot be read."""

    sheet: Sheet
    data: str
    width: int = 0
    height: int = 0
    problem: str = ''


@dataclass(frozen=True)
class Album:
    """The pictures that are shown, and what was done to make them fit."""

    pictures: list[Picture]
    note: str = ''


def collect(sheets: Sequence[Sheet], budget: int = BUDGET) -> Album:
    """Pictures of all sheets, or of as many as fit, in the order given.

    Where they are too large, they are made smaller, down to 800 pixels across; if that
    is not enough, those of every condition and variant that changed least are left out.

    Args:
        sheets: what to show.
        budget: bytes of base64 that all may take together.
    """
    if not sheets:
        return Album([])
    for level in _LEVELS:
        if _estimate(sheets, level) > budget:
            continue
        pictures = list(_until(budget, (_read(sheet, level) for sheet in sheets)))
        if len(pictures) == len(sheets):
            return Album(pictures, _note(level, 0))
    ranked = (_read(sheet, _LEVELS[-1]) for sheet in _strongest_first(sheets))
    kept = {id(picture.sheet): picture for picture in _until(budget, ranked)}
    pictures = [kept[id(sheet)] for sheet in sheets if id(sheet) in kept]
    return Album(pictures, _note(_LEVELS[-1], len(sheets) - len(pictures)))


def _estimate(sheets: Sequence[Sheet], level: tuple[int, int] | None) -> float:
    """Bytes that all would take, from a few: reading every sheet anew costs seconds."""
    some = sheets[:: max(1, len(sheets) // _SAMPLE)]
    return sum(len(_read(sheet, level).data) for sheet in some) / len(some) * len(sheets)


def _until(budget: int, pictures: Iterable[Picture]) -> Iterator[Picture]:
    used = 0
    for picture in pictures:
        used += len(picture.data)
        if used > budget:
            return
        yield picture


def _strongest_first(sheets: Sequence[Sheet]) -> list[Sheet]:
    """First the strongest gain and loss of every condition and variant, and so on."""
    seen: dict[tuple[str, str, bool], int] = {}
    ranks = {}
    for sheet in sorted(sheets, key=lambda sheet: -abs(sheet.effect)):
        key = (sheet.condition, sheet.variant, sheet.effect > 0)
        ranks[id(sheet)] = seen[key] = seen.get(key, -1) + 1
    return sorted(sheets, key=lambda sheet: ranks[id(sheet)])


def _read(sheet: Sheet, level: tuple[int, int] | None) -> Picture:
    try:
        content = sheet.path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            # Anything else than a JPEG would be told wrongly to the browser.
            if level is None and image.format == 'JPEG':
                size = image.size
            else:
                content, size = _encode(image, *(level or (image.width, 90)))
    except (OSError, ValueError, SyntaxError) as error:
        # One lost picture must not cost the report of hours of work.
        return Picture(sheet, '', problem=type(error).__name__)
    return Picture(sheet, base64.b64encode(content).decode(), *size)


def _encode(
    image: Image.Image, width: int, quality: int
) -> tuple[bytes, tuple[int, int]]:
    image.thumbnail((width, image.height))  # decodes no more than it needs
    smaller = image.convert('RGB')
    buffer = io.BytesIO()
    smaller.save(buffer, 'JPEG', quality=quality)
    return buffer.getvalue(), smaller.size


def _note(level: tuple[int, int] | None, left_out: int) -> str:
    parts = []
    if level is not None:
        width, quality = level
        parts.append(
            f'To keep this file small, the pictures are at most {width} pixels wide '
            f'(JPEG quality {quality}).'
        )
    if left_out:
        parts.append(
            f'{count(left_out, "sheet")} of weaker effect left out; all are in the '
            "comparison's own folder."
        )
    return ' '.join(parts)
