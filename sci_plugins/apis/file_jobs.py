"""From the files and folders that a user names to pairs of input and output file."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sci_plugins.errors import ConfigError, DataError
from sci_plugins.utils.images import IMAGE_FORMATS


@dataclass(frozen=True)
class FileJob:
    """One image to enhance.

    Attributes:
        source: image file to read.
        target: image file to write.
        illumination: PNG file for the illumination map, ``None`` if not wanted.
    """

    source: Path
    target: Path
    illumination: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that this job writes."""
        return (self.target,) + ((self.illumination,) if self.illumination else ())


def plan_jobs(
    inputs: Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    image_format: str = 'same',
    illumination: bool = False,
) -> list[FileJob]:
    """List what to read and where to write it.

    A file goes to ``out_dir/NAME``; what lies in a folder keeps its path below that
    folder. Hidden files, files that are no images, and ``out_dir`` itself are passed
    over. The illumination map of ``NAME.jpg`` is ``NAME_illumination.png``.

    Args:
        inputs: image files and folders.
        out_dir: folder of the results; need not exist.
        image_format: ``'same'`` keeps each file's suffix, ``'png'`` makes all PNG.
        illumination: whether to write illumination maps as well.

    Raises:
        ConfigError: if two files would be written to one place, or over an input.
        DataError: if an input is no image file, or a folder without images.
        FileNotFoundError: if an input does not exist.
    """
    if image_format not in ('same', 'png'):
        raise ConfigError(f"image_format must be 'same' or 'png', got {image_format!r}")
    out_dir = Path(out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ConfigError(f'{out_dir} is a file, not a folder to write to')
    jobs: dict[tuple[Path, Path], FileJob] = {}  # one image named twice is one job
    for item in map(Path, inputs):
        for source, place in _find_images(item, out_dir):
            target = out_dir / place
            map_file = target.with_name(f'{target.stem}_illumination.png')
            if image_format == 'png':
                target = target.with_suffix('.png')
            job = FileJob(source, target, map_file if illumination else None)
            jobs.setdefault((source.resolve(), target), job)
    _check_outputs(list(jobs.values()))
    return list(jobs.values())


def _find_images(item: Path, out_dir: Path) -> list[tuple[Path, Path]]:
    """Image files and their paths below the output folder."""
    if item.is_file():
        if item.suffix.lower() not in IMAGE_FORMATS:
            known = ', '.join(IMAGE_FORMATS)
            raise DataError(f'{item} is no image file by its suffix; known: {known}')
        return [(item, Path(item.name))]
    if not item.is_dir():
        raise FileNotFoundError(f'no such file or folder: {item}')
    if item.resolve() == out_dir.resolve():
        raise ConfigError(f'{item} is both input and output; choose another folder')
    found = [(path, path.relative_to(item)) for path in _walk(item, out_dir)]
    if not found:
        raise DataError(f'{item} holds no PNG, JPEG, BMP or TIFF image')
    return found


def _walk(folder: Path, out_dir: Path) -> Iterator[Path]:
    seen = {out_dir.resolve()}  # results of an earlier run are no input
    for current, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        here = Path(current).resolve()
        if here in seen:  # the output folder, or a loop of links
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(names):
            path = Path(current, name)
            if not name.startswith('.') and path.suffix.lower() in IMAGE_FORMATS:
                yield path


def _raise(error: OSError) -> None:
    raise error


def _check_outputs(jobs: list[FileJob]) -> None:
    sources = {job.source.resolve(): job.source for job in jobs}
    writers: dict[Path, Path] = {}
    for job in jobs:
        for output in job.outputs:
            if output.resolve() in sources:
                raise ConfigError(
                    f'{job.source} would be written over the input '
                    f'{sources[output.resolve()]}; choose another output folder'
                )
            other = writers.setdefault(output, job.source)
            if other != job.source:
                raise ConfigError(
                    f'{other} and {job.source} would both be written to {output}; '
                    'enhance them into different folders'
                )
