"""Fine-tune an enhancer on one scene: the estimator alone, a hundred steps."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sci_plugins.apis.enhance import Spec, prepare_enhancer, weight_files
from sci_plugins.datasets.low_light_folder import LowLightFolder
from sci_plugins.datasets.samplers import SeededInfiniteSampler
from sci_plugins.errors import ConfigError, TrainingError, check_at_least, check_seed
from sci_plugins.models.enhancers import RetinexEnhancer, parse_enhancer
from sci_plugins.models.enhancers.export import building_of, save_enhancer
from sci_plugins.models.enhancers.weight_files import is_published
from sci_plugins.models.losses import SCILoss
from sci_plugins.utils.files import check_outputs
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import write_sheet
from sci_plugins.visualization.panels import image_cell, make_grid
from sci_plugins.weights import DEFAULT_ENHANCER

#: As in the authors' code.
STEPS, LEARNING_RATE, WEIGHT_DECAY, MAX_GRADIENT = 100, 5e-4, 3e-4, 5.0
#: Limit where the loss decides when to stop, and of what can be asked for.
MAX_STEPS, MOST_STEPS = 1000, 10_000_000
#: Losses are averaged over at least this many steps before they are compared.
SETTLING_WINDOW = 20
_PICTURES = 4


@dataclass
class FinetuneResult:
    """The result of fine-tuning."""

    enhancer: RetinexEnhancer  # the fine-tuned enhancer, in eval mode
    losses: list[float] = field(default_factory=list)  # loss of each step
    settled: bool | None = None  # see :func:`has_settled`; ``None`` without ``until``
    skipped: dict[str, str] = field(default_factory=dict)  # image file -> why it cannot be read
    sha256: str = ''  # hash of the written file


def finetune(
    inputs: PathLike | Sequence[PathLike],
    out: PathLike,
    enhancer: Spec = DEFAULT_ENHANCER,
    *,
    steps: int | None = None,
    lr: float = LEARNING_RATE,
    until: float | None = None,
    freeze_norm: bool = False,
    max_size: int | None = 1280,
    crop_size: int | None = None,
    seed: int = 2,
    device: str = 'cpu',
    progress: bool = False,
    overwrite: bool = False,
) -> FinetuneResult:
    """Fine-tune an enhancer on one or a few images, and save it with its recipe.

    As in the authors' code: no calibrator, the loss of one stage, Adam, one image per step,
    BatchNorm in train mode. The statistics of a single dark image differ from those of the training
    set, so the loss may rise at first; ``freeze_norm`` avoids that. ``OUT_before-after.jpg`` beside
    the file shows up to four of the images.

    Args:
        inputs: image files and folders.
        out: file to write, such as ``night.pth``; loads like any other weights.
        enhancer: the start: anything that ``build_enhancer`` takes with an illumination.
        steps: number of steps; by default 100, or at most 1000 with ``until``.
        lr: learning rate, at most 1000.
        until: stop when the loss has settled to this change, such as 0.01; see :func:`has_settled`.
        freeze_norm: keep BatchNorm's statistics (its scale and shift are trained).
        max_size: images with a longer side of more pixels are shrunk to it; ``None``: none is.
        crop_size: side in pixels of random square crops; ``None`` takes whole images.
        seed: of the order of the images and of the crops.
        overwrite: replace files that no tool of this package wrote; never an input.

    Raises:
        ConfigError: if an option or the enhancer is unfit, or an output is a user's file.
        DataError: if no image can be read, or one is too small.
        TrainingError: if the loss becomes NaN or infinite; nothing is written then.
    """
    out = Path(out)
    if steps is None:
        steps = STEPS if until is None else MAX_STEPS
    check_seed(seed)
    check_at_least(1, most=MOST_STEPS, steps=steps)
    for name, value in (('lr', lr), ('until', until)):
        if value is not None and not 0 < value <= 1000:
            raise ConfigError(f'{name} must be a number above 0, at most 1000, got {value}')
    before = _prepare(enhancer, device)
    how: Any = dict(max_size=max_size, skip_unreadable=True)
    data = LowLightFolder(inputs, crop_size=crop_size, cache=True, **how)
    sheet = out.parent / f'{out.stem}_before-after.jpg'
    check_outputs(out, sheet, inputs=[*data.files, *weight_files(enhancer)], overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    result = FinetuneResult(deepcopy(before))
    estimator = result.enhancer.train(not freeze_norm)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
    loss = SCILoss()
    with tqdm(total=steps, unit='step', disable=not progress) as bar:
        for draw in islice(SeededInfiniteSampler(data, seed=seed), steps):
            item = data[draw]
            image, sample = item['inputs'].unsqueeze(0).to(device), item['data_samples']
            result.skipped.update(sample.skipped)
            result.losses.append(_step(estimator, loss, optimizer, image, sample.img_path))
            bar.set_postfix(loss=f'{result.losses[-1]:.4f}', refresh=False)
            bar.update()
            if until is not None:
                result.settled = _is_settled(result.losses, len(data), until)
            if result.settled:
                break
    _write_picture(sheet, data, before, result.enhancer.eval())
    done: dict[str, Any] = dict(steps=len(result.losses), settled=result.settled)
    done |= dict(loss=[result.losses[0], result.losses[-1]], until=until, images=len(data))
    done |= dict(optimizer=dict(type='Adam', lr=lr, weight_decay=WEIGHT_DECAY))
    done |= dict(freeze_norm=freeze_norm, max_size=max_size, crop_size=crop_size, seed=seed)
    result.sha256 = save_enhancer(result.enhancer, out, start=_name(enhancer), finetuned=done)
    return result


def has_settled(losses: Sequence[float], window: int, tolerance: float) -> bool:
    """Whether the mean of the last ``window`` losses equals that of the ``window`` before.

    ``|last − before| ≤ tolerance · |before|``; ``False`` before there are two windows.
    """
    if len(losses) < 2 * window:
        return False
    before = math.fsum(losses[-2 * window : -window]) / window
    last = math.fsum(losses[-window:]) / window
    return abs(last - before) <= tolerance * abs(before)


def _is_settled(losses: Sequence[float], images: int, tolerance: float) -> bool:
    """Decided after whole rounds only: both means then cover all images equally often."""
    window = images * math.ceil(SETTLING_WINDOW / images)
    return len(losses) % images == 0 and has_settled(losses, window, tolerance)


def _prepare(enhancer: Spec, device: str) -> RetinexEnhancer:
    built = prepare_enhancer(enhancer, device)
    if not isinstance(built, RetinexEnhancer) or not any(True for _ in built.parameters()):
        wish = f'an enhancer with weights and an illumination map, such as {DEFAULT_ENHANCER}'
        raise ConfigError(f'fine-tuning needs {wish}; got {type(built).__name__}')
    building_of(built)  # refuses before the work what cannot be saved
    return built


def _step(
    enhancer: RetinexEnhancer, loss: SCILoss, optimizer: torch.optim.Adam, image: Tensor, path: str
) -> float:
    """Do one step on one image; returns the loss before it."""
    total = torch.stack(list(loss(enhancer.estimate_illumination(image), image).values())).sum()
    value = float(total.detach())
    if not math.isfinite(value):
        told = f'loss is {value}, image: {path}; nothing was written'
        raise TrainingError(f'{told}. Try a smaller learning rate')
    optimizer.zero_grad()
    total.backward()
    nn.utils.clip_grad_norm_(enhancer.parameters(), MAX_GRADIENT)
    optimizer.step()
    return value


@torch.no_grad()
def _write_picture(
    path: Path, data: LowLightFolder, before: RetinexEnhancer, after: RetinexEnhancer
) -> None:
    whole = LowLightFolder(data.files, max_size=data.max_size, skip_unreadable=True)
    device = next(after.parameters()).device
    rows = []
    for index in range(min(_PICTURES, len(whole))):
        item = whole[index]
        name, image = Path(item['data_samples'].img_path).name, item['inputs'][None].to(device)
        columns = {name: image, 'before': before(image), 'after': after(image)}
        rows.append([image_cell(title, each[0]) for title, each in columns.items()])
    write_sheet(path, make_grid(rows))


def _name(enhancer: Spec) -> str:
    """The starting point, without local folders."""
    if isinstance(enhancer, nn.Module):
        return type(enhancer).__name__
    config = parse_enhancer(enhancer) if isinstance(enhancer, str) else enhancer
    weights = str(config.get('weights') or 'no weights')
    return weights if is_published(weights) else Path(weights).name
