"""Image quality of several enhancers on one folder of images."""

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sci_plugins.apis.enhance import Spec, prepare_enhancer, weight_files
from sci_plugins.datasets.low_light_folder import LowLightFolder
from sci_plugins.datasets.paired_low_light import PairedLowLightDataset
from sci_plugins.errors import ConfigError
from sci_plugins.evaluation.metrics.image_quality import ImageQualityMetric
from sci_plugins.models.enhancers.weight_files import file_sha256
from sci_plugins.registry import METRICS
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.files import check_outputs, file_slug
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import write_sheet
from sci_plugins.utils.schema import to_content
from sci_plugins.version import __version__
from sci_plugins.visualization.panels import image_cell, make_grid
from sci_plugins.visualization.report.cells import plain
from sci_plugins.weights import DEFAULT_ENHANCER

#: The columns of the table, in order; the first two need references.
METRIC_NAMES = ('PSNR', 'SSIM', 'EME', 'DiscreteEntropy', 'LOE', 'Brightness')
#: The row of the reference images themselves.
REFERENCE = 'reference'


@dataclass
class QualityTable:
    """Quality of each variant, image by image."""

    about: dict[str, Any]  # what is needed to reproduce it: folders, versions, hashes of weights
    images: list[str]  # names of the images, in order
    #: variant -> metric key -> one number per image; the references have fewer metrics
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.scores.values() for key in row))

    def mean(self, variant: str, metric: str) -> float:
        """Mean over the images; NaN where the variant does not have the metric."""
        values = self.scores[variant].get(metric, [])
        return sum(values) / len(values) if values else math.nan

    def to_text(self) -> str:
        """A table of the means: variants down, metrics across."""
        rows = []
        for name in self.scores:
            means = [self.mean(name, metric) for metric in self.metrics]
            # An infinite PSNR, that of an image with itself, is not a missing number.
            rows.append([name, *('inf' if mean == math.inf else plain(mean, 3) for mean in means)])
        table = text_table(['variant', *self.metrics], rows)
        return f'{table}\nmeans over {len(self.images)} images'

    def to_json(self) -> str:
        # JSON has no infinity, which is the PSNR of an image with itself.
        means = {name: {m: self.mean(name, m) for m in row} for name, row in self.scores.items()}
        variants = [dict(variant=n, mean=means[n], images=row) for n, row in self.scores.items()]
        content = dict(about=self.about, images=self.images, variants=to_content(variants))
        return json.dumps(content, indent=2) + '\n'


@torch.no_grad()
def evaluate_enhancement(
    low: PathLike,
    reference: PathLike | None = None,
    variants: Sequence[str] | Mapping[str, Spec] = ('none', DEFAULT_ENHANCER),
    *,
    metrics: Sequence[str] = METRIC_NAMES,
    max_size: int | None = None,
    pictures: PathLike | None = None,
    device: str = 'cpu',
    progress: bool = False,
    overwrite: bool = False,
) -> QualityTable:
    """Enhance dark images in several ways and measure each result, truncated to 8 bits.

    Args:
        low: folder of dark photographs.
        reference: folder of the same scenes in good light, with the same file names; PSNR and SSIM
            need it and are left out without it.
        variants: names of enhancers, or label -> anything that ``build_enhancer`` takes; ``'none'``
            is the unchanged image.
        metrics: names of metrics of ``sci_plugins``, subclasses of ``ImageQualityMetric``.
        max_size: images whose longer side exceeds this many pixels are shrunk to it.
        pictures: folder for one sheet per image, with all variants side by side.
        overwrite: replace sheets that no tool of this package wrote.

    Raises:
        ConfigError: if a variant or a metric is unknown, or a sheet would replace a user's file.
        DataError: if images are missing or unreadable, or differ in size from their references.
        MissingDependencyError: if a metric needs a package that is not installed.
    """
    data: Any
    if reference is None:
        data = LowLightFolder(low, max_size=max_size)
    else:
        folders = [os.path.abspath(os.path.expanduser(each)) for each in (low, reference)]
        data = PairedLowLightDataset('', folders=folders, max_size=max_size)
    measures = [_build_metric(name) for name in metrics]
    measures = [each for each in measures if reference is not None or not each.needs_reference]
    specs = dict(variants if isinstance(variants, Mapping) else {v: v for v in variants})
    if not specs or REFERENCE in specs:
        wish = f'at least one enhancer as variant and none called {REFERENCE!r}'
        raise ConfigError(f'expected {wish}, got {list(specs)}')
    enhancers = {name: prepare_enhancer(spec, device) for name, spec in specs.items()}
    root = Path(os.path.expanduser(low))
    names = [os.path.relpath(each, root if root.is_dir() else root.parent) for each in data.files]
    sheets = [] if pictures is None else _sheets(Path(pictures), names)
    check_outputs(*sheets, inputs=data.files, overwrite=overwrite)
    files = {name: path for name, spec in specs.items() for path in weight_files(spec)}
    told = None if reference is None else str(reference)
    about: dict[str, Any] = dict(low=str(low), reference=told, max_size=max_size)
    about['weights'] = {name: file_sha256(path) for name, path in files.items()}
    about['versions'] = dict(sci_plugins=__version__, torch=str(torch.__version__))
    table = QualityTable(about, names)
    for index in tqdm(range(len(data)), unit='image', disable=not progress):
        item = data[index]
        image, bright = item['inputs'], getattr(item['data_samples'], 'reference', None)
        batch = image.unsqueeze(0).to(device)
        shown = {name: each(batch)[0].cpu() for name, each in enhancers.items()}
        if bright is not None:
            shown[REFERENCE] = bright
        for name, enhanced in shown.items():
            row = table.scores.setdefault(name, {})
            for measure in measures:
                if not (name == REFERENCE and measure.needs_reference):
                    row.setdefault(measure.key, []).append(measure.score(enhanced, image, bright))
        if sheets:
            first = {} if 'none' in shown else {'input': image}
            cells = [image_cell(name, each) for name, each in (first | shown).items()]
            half = (len(cells) + 1) // 2 if len(cells) > 3 else len(cells)
            grid = make_grid([row for row in (cells[:half], cells[half:]) if row])
            write_sheet(sheets[index], grid)
    return table


def _sheets(folder: Path, names: Sequence[str]) -> list[Path]:
    """One file per image: its path without suffix, or another name if several images share it."""
    flat = {name: Path(name).with_suffix('').as_posix().replace('/', '_') for name in names}
    shared = Counter(flat.values())
    stems = [stem if shared[stem] == 1 else file_slug(name) for name, stem in flat.items()]
    return [folder / f'{stem}.jpg' for stem in stems]


def _build_metric(name: str) -> ImageQualityMetric:
    kind = METRICS.get(name)
    if not (isinstance(kind, type) and issubclass(kind, ImageQualityMetric)):
        raise ConfigError(f'unknown metric {name!r}; known: {", ".join(METRIC_NAMES)}, NIQE')
    return kind()
