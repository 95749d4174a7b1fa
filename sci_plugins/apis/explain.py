"""What a photograph is like, light and noise, and what the adaptive stage does to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from sci_plugins.apis.enhance import prepare_enhancer
from sci_plugins.datasets.low_light_folder import find_images, to_tensor
from sci_plugins.errors import DataError
from sci_plugins.evaluation.decisions import ImageDecision, decided_cells
from sci_plugins.functional.blocking import estimate_blocking
from sci_plugins.functional.light import light_statistics
from sci_plugins.functional.noise import estimate_noise
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import read_image

HEAD = (
    'image', 'mean', 'low', 'high', 'uneven', 'noise', 'white', 'blocks', 'exponent', 'gain',
    'strengths',
)  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """One image file."""

    path: str
    light: Mapping[str, float]  # :class:`sci_plugins.functional.light.LightStatistics`, by name
    #: standard deviation of each channel's noise in linear light (white is 1); ``whiteness``: 1 a
    #: sensor's noise, 0 texture; ``blocks``: 1 where JPEG's blocks show, 0 where they do not
    noise: Mapping[str, float]
    decision: Mapping[str, Any] | None = None  # exponent, gain and strengths of an adaptive stage
    off: bool = False  # whether the stage gives the image back as it is
    problem: str = ''  # why the image cannot be read; empty if it can


def explain_images(
    inputs: Sequence[PathLike],
    enhancer: nn.Module | Mapping[str, Any] | str = 'adaptive',
    device: str = 'cpu',
    progress: bool = False,
) -> Iterator[Explanation]:
    """Light and noise of image files and folders, and what an adaptive stage decides.

    Of one in another enhancer, such as a gate, it is what the stage would decide by itself.

    Raises:
        ConfigError, CheckpointError: if the enhancer cannot be built.
        DataError: if a folder is missing or holds no image.
    """
    stage = prepare_enhancer(enhancer, device)
    stage = next((e for e in stage.modules() if isinstance(e, AdaptiveSCIEnhancer)), stage)
    for path in tqdm(find_images(inputs), unit='image', disable=not progress):
        yield _explain(str(path), stage, device)


@torch.no_grad()
def _explain(path: str, stage: nn.Module, device: str) -> Explanation:
    try:
        image = to_tensor(read_image(path))[None].to(device)
        light, noise = light_statistics(image), estimate_noise(image)
        blocks = float(estimate_blocking(image).evidence)
        told = {name: float(value) for name, value in light._asdict().items()}
        heard = dict(linear=float(noise.linear), whiteness=float(noise.whiteness), blocks=blocks)
        if not isinstance(stage, AdaptiveSCIEnhancer):
            return Explanation(path, told, heard)
        found = ImageDecision.of(stage.decide(image))
    except (DataError, OSError, ValueError) as error:
        return Explanation(path, {}, {}, problem=' '.join(str(error).split()))
    decision = dict(exponent=found.exponent, gain=found.gain, strengths=found.strengths)
    return Explanation(path, told, heard, decision, found.off)


def row(found: Explanation) -> list[str]:
    """The cells of a table with :data:`HEAD`."""
    if found.problem:
        return [found.path, found.problem, *[''] * (len(HEAD) - 2)]
    shown = dict(mean=3, low=3, high=3, unevenness=2, linear=5, whiteness=2, blocks=2)  # decimals
    known = {**found.light, **found.noise}
    cells = [f'{known[name]:.{places}f}' for name, places in shown.items()]
    decided = decided_cells(**found.decision) if found.decision else [''] * 3
    return [found.path, *cells, *decided]
