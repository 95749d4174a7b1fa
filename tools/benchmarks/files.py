"""Images a second from file to file: ours against what the authors' test script does."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.enhancer import plain_enhance
from benchmarks.timing import Timing, time_in_turn, to_table
from sci_plugins.apis.enhance_files import enhance_files
from sci_plugins.errors import check_at_least
from sci_plugins.models.enhancers import SCIEnhancer
from sci_plugins.utils.folders import list_files
from sci_plugins.utils.images import IMAGE_FORMATS
from sci_plugins.utils.machine import describe_machine, machine_line

PLAIN, OURS, SMALL = "the authors' way", 'enhance.py', 'enhance.py --png-level 6'


@dataclass(frozen=True)
class FilesResult:
    """Times for all images, and how many times faster ours is, by wall and by CPU time."""

    machine: dict[str, Any]
    images: int
    timings: dict[str, Timing]
    ratio: float
    ratio_of_cpu: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        speeds = [
            f'{name} {self.images / timing.median_ms * 1e3:.1f}'
            for name, timing in self.timings.items()
        ]
        return '\n'.join(
            [
                machine_line(self.machine),
                f'{self.images} images to PNG files',
                to_table(self.timings),
                'images a second: ' + ', '.join(speeds),
                f'{self.ratio:.1f} times faster (by CPU time: {self.ratio_of_cpu:.1f})',
            ]
        )


@torch.no_grad()
def plain_files(files: list[Path], out: Path, enhancer: SCIEnhancer) -> None:
    """One image after the other: Pillow, float tensor, network layer by layer, Pillow's PNG.

    Source: ``test.py`` of github.com/vis-opt-group/SCI.
    """
    for file in files:
        pixels = np.asarray(Image.open(file).convert('RGB'), np.float32) / 255
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        result = plain_enhance(enhancer, image)[0].permute(1, 2, 0).numpy()
        Image.fromarray(np.clip(result * 255, 0, 255).astype(np.uint8)).save(
            out / f'{file.parent.name}_{file.stem}.png', 'PNG'
        )


def benchmark_files(
    folder: str, number: int = 100, runs: int = 3, weights: str = 'sci_plugins/lol'
) -> FilesResult:
    """Enhance a folder into PNG files in both ways, in turn.

    Args:
        folder: with images; those in folders below it count.
        number: images to take, spread over all.
        runs: measured rounds.
        weights: as in :class:`SCIEnhancer`.

    Raises:
        ConfigError: if a number is below 1.
        DataError: if an image cannot be read.
    """
    check_at_least(1, number=number, runs=runs)
    found = list_files(Path(folder), IMAGE_FORMATS).files
    files = found[:: max(1, len(found) // number)][:number]
    enhancer = SCIEnhancer(weights=weights).eval()
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)

        def ours(level: int) -> None:
            for place in {file.parent for file in files}:  # names may repeat in other folders
                some = [file for file in files if file.parent == place]
                target = out / place.name / str(level)
                options: Any = dict(image_format='png', png_level=level, overwrite=True)
                done = enhance_files(some, target, enhancer, **options)
                if done.failed:
                    raise next(iter(map(RuntimeError, done.failed.values())))

        calls = {
            PLAIN: lambda: plain_files(files, out, enhancer),
            OURS: lambda: ours(1),
            SMALL: lambda: ours(6),
        }
        timings = time_in_turn(calls, runs, warm_up=1 if runs > 1 else 0)
    return FilesResult(
        machine=describe_machine(),
        images=len(files),
        timings=timings,
        ratio=timings[PLAIN].median_ms / timings[OURS].median_ms,
        ratio_of_cpu=timings[PLAIN].cpu_ms / timings[OURS].cpu_ms,
    )
