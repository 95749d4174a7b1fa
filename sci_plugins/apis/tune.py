"""Tune what stands in front of a frozen network to that network, with or without labels."""

import copy
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from tqdm import tqdm

from sci_plugins import errors
from sci_plugins.apis import tune_source
from sci_plugins.apis.enhance import Spec, prepare_enhancer, weight_files
from sci_plugins.apis.tune_source import Source, labelled_images, network_teacher
from sci_plugins.datasets.darkened_crops import Batch, DarkenedCrops, LabelledImages
from sci_plugins.datasets.low_light_folder import to_tensor
from sci_plugins.errors import CheckpointError, ConfigError, TrainingError, check_at_least
from sci_plugins.functional.low_light import compress_jpeg, darken
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer, BaseEnhancer
from sci_plugins.models.enhancers.export import building_of, save_enhancer
from sci_plugins.models.teachers import PixelTeacher, Teacher
from sci_plugins.utils.checkpoint import read_checkpoint
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.files import MARK, check_outputs, write_atomically
from sci_plugins.utils.folders import PathLike
from sci_plugins.utils.images import write_sheet
from sci_plugins.version import __version__
from sci_plugins.visualization.panels import image_cell, make_grid

__all__ = ['GridCell', 'TuneResult', 'check_grid', 'labelled_images', 'network_teacher', 'tune']

#: Learning rates of the perceptron and of SCI's layers.
LEARNING_RATE, SCI_LEARNING_RATE, MAX_GRADIENT = 1e-2, 2e-3, 1.0
#: What is made worse than the untouched image costs this much more.
NO_HARM = 2.0
#: Limits of what can be asked for.
MOST_STEPS, MOST_CROPS, MOST_PIXELS = 10_000_000, 1024, 4096
_PICTURES = 4
#: Conditions: gains by noise.
GRID_GAINS, GRID_NOISES = (1.0, 0.3, 0.1, 0.05, 0.02), (0.0, 0.002, 0.004)
#: And compressed: gain, noise, quality of JPEG.
GRID_JPEG = ((0.1, 0.0, 70), (0.05, 0.002, 70), (0.03, 0.001, 60))
#: Harm up to this fraction of the loss that the untouched images have over the whole grid.
MARGIN = 0.02
_RESAMPLES, _BATCHES = 1000, 4
#: Parts of a tuning that have a state of their own.
_STATES = ('stage', 'optimizer', 'schedule')


@dataclass(frozen=True)
class GridCell:
    """Held-out crops in one condition: mean loss without and with the stage."""

    gain: float
    noise: float
    raw: float  # mean loss of the untouched crops
    tuned: float  # and of the enhanced ones
    low: float  # of the 95 % interval of ``tuned - raw``, paired over crops
    high: float
    harms: bool  # whether the interval lies above the margin
    quality: int | None = None  # of JPEG

    @property
    def condition(self) -> str:
        """In words."""
        jpeg = f', JPEG {self.quality}' if self.quality else ''
        return f'gain {self.gain:g}, noise {self.noise:g}{jpeg}'


@torch.no_grad()
def check_grid(
    stage: BaseEnhancer,
    teacher: Teacher,
    crops: DarkenedCrops | LabelledImages,
    *,
    gains: Sequence[float] = GRID_GAINS,
    noises: Sequence[float] = GRID_NOISES,
    compressed: Sequence[tuple[float, float, int]] = GRID_JPEG,
    margin: float = MARGIN,
    device: str = 'cpu',
) -> list[GridCell]:
    """Loss without and with a stage, in eval mode, on the same images in every light and noise.

    Args:
        crops: where images come from; how they are darkened there does not matter.
        gains, noises: the grid.
        compressed: conditions beside it: gain, noise, quality of JPEG.
        margin: harm that is tolerated, as a fraction of the raw loss over the whole grid.
        device: of stage and teacher.
    """
    parts = [part for k in range(_BATCHES) for part in crops.parts(tune_source.HELD_OUT + 100 + k)]
    singles = [single for part in parts for single in part.singles()]
    aims = [teacher.aim(single.bright.to(device), single.labels) for single in singles]
    bright = (single.bright[0].permute(1, 2, 0) * 255 for single in singles)
    pixels = [each.round().byte().numpy() for each in bright]
    generator = np.random.default_rng(0)
    measured = {}
    grid = [(gain, noise, None) for gain, noise in product(gains, noises)]
    for gain, noise, quality in [*grid, *compressed]:
        losses = []
        for each, aim in zip(pixels, aims, strict=True):
            dark = darken(each, gain, noise, 0, generator)
            if quality is not None:
                dark = compress_jpeg(dark[..., ::-1], quality)[..., ::-1]
            image = to_tensor(dark)[None].to(device)
            seen = (teacher.look(image), teacher.look(stage(image)))
            losses.append(torch.cat([teacher.distance(one, aim) for one in seen]))
        measured[gain, noise, quality] = torch.stack(losses).cpu()
    limit = margin * float(torch.stack([each[:, 0].mean() for each in measured.values()]).mean())
    return [_judge(*place, losses.numpy(), limit) for place, losses in measured.items()]


def _judge(
    gain: float, noise: float, quality: int | None, losses: np.ndarray, margin: float
) -> GridCell:
    difference = losses[:, 1] - losses[:, 0]
    draws = np.random.default_rng(0).integers(len(losses), size=(_RESAMPLES, len(losses)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    raw, tuned = losses.mean(0)
    cell = (gain, noise, float(raw), float(tuned), float(low), float(high))
    return GridCell(*cell, harms=bool(low > margin), quality=quality)


@dataclass
class TuneResult:
    """The result of tuning."""

    enhancer: BaseEnhancer  # the tuned stage, in eval mode
    losses: list[float] = field(default_factory=list)  # mean loss of each step
    held_out: dict[int, float] = field(default_factory=dict)  # step, from 0 on -> mean loss
    grid: list[GridCell] = field(default_factory=list)  # the table of conditions
    skipped: dict[str, str] = field(default_factory=dict)  # image file -> why it was not used
    sha256: str = ''  # of the written file

    @property
    def is_safe(self) -> bool:
        """Whether it is nowhere in the grid worse than the untouched image beyond the margin."""
        return not any(cell.harms for cell in self.grid)

    @property
    def verdict(self) -> str:
        """The grid in a sentence."""
        if harms := [cell.condition for cell in self.grid if cell.harms]:
            return f'NOT SAFE: worse than the image as it is at {"; ".join(harms)}'
        return 'nowhere in the table worse than the image as it is: safe'

    def table(self) -> str:
        """The grid, as text."""
        head = ['gain', 'noise', 'JPEG', 'raw loss', 'tuned', 'difference', '']
        rows = []
        for cell in self.grid:
            row = [f'{cell.gain:g}', f'{cell.noise:g}', str(cell.quality or ''), f'{cell.raw:.4f}']
            row += [f'{cell.tuned:.4f}', f'[{cell.low:+.4f}, {cell.high:+.4f}]']
            rows.append([*row, 'worse' if cell.harms else ''])
        return text_table(head, rows)


def tune(
    images: Sequence[Any],
    out: PathLike,
    teacher: Teacher | None = None,
    enhancer: Spec = 'adaptive',
    *,
    as_they_are: Sequence[PathLike] = (),
    steps: int = 1000,
    batch_size: int = 6,
    crop_size: int = 192,
    no_harm: float = NO_HARM,
    check_every: int = 100,
    patience: int = 10,
    seed: int = 0,
    device: str = 'cpu',
    progress: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    recipe: Mapping[str, Any] | None = None,
) -> TuneResult:
    """Tune a stage with images by day, darkened on the fly; labels only for a task's loss.

    ``loss = distance + no_harm * relu(distance - distance of the raw crop)``: what the stage makes
    worse than the untouched image costs more. Adam, cosine schedule. The best state on held-out
    crops is kept, which may be the start; the table of conditions says where it is worse than the
    untouched image.

    Args:
        images: files and folders of photographs by day; for a :class:`TaskTeacher` a data set of
            labelled images, see :func:`labelled_images`. One in eight images is held out.
        out: file to write, such as ``adaptive.pth``; ``'adaptive/adaptive.pth'`` names it then.
            Beside it: ``OUT_progress.jpg`` and, until the end, ``OUT_state.pth``.
        teacher: what the stage is tuned to; ``None``: the untouched pixels.
        enhancer: the start: anything that ``build_enhancer`` takes and that has parameters.
        as_they_are: files and folders of dark photographs that the network knows as they are.
        steps, batch_size, crop_size: of the training; a network may need crops of multiples of 32
            pixels. Labelled images are not cropped.
        no_harm: extra weight of harm.
        check_every: steps from one check on held-out crops, picture and state to the next.
        patience: stop after so many checks without a better one.
        seed: of crops, darkness and order.
        resume: go on from ``OUT_state.pth``, to the bit.
        overwrite: replace files that no tool of this package wrote; never an input.
        recipe: what else goes into the file's ``meta``.

    Raises:
        ConfigError: if an option or the enhancer is unfit, or an output is a user's file.
        DataError: if no image can be used, or all are dark.
        TrainingError: if the loss becomes NaN or infinite; nothing is written then.
    """
    out = Path(out)
    errors.check_seed(seed)
    check_at_least(1, most=MOST_CROPS, batch_size=batch_size)
    check_at_least(32, most=MOST_PIXELS, crop_size=crop_size)
    if not 0 <= no_harm < math.inf:
        raise ConfigError(f'no_harm must be a finite number from 0, got {no_harm}')
    check_at_least(1, most=MOST_STEPS, steps=steps, check_every=check_every, patience=patience)
    stage, teacher = _prepare(enhancer, device), teacher or PixelTeacher()
    settings: dict[str, Any] = dict(crop_size=crop_size, batch_size=batch_size, seed=seed)
    (data, held_out), told = tune_source.open_sources(images, as_they_are, teacher, settings)
    settings |= dict(no_harm=no_harm)
    sheet, state = (out.with_name(f'{out.stem}_{name}') for name in ('progress.jpg', 'state.pth'))
    inputs = [*data.files, *held_out.files, *as_they_are, *weight_files(enhancer)]
    check_outputs(out, sheet, state, inputs=inputs, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    tuning = _Tuning(stage, teacher, steps, no_harm, torch.device(device))
    plan = settings | dict(steps=steps, images=told['images_sha256'] or told['images'])
    plan |= tune_source.identify(teacher, stage, recipe)
    if resume:
        tuning.load(state, plan)
    tuning.prepare(held_out)
    with tqdm(total=steps, initial=tuning.step, unit='step', disable=not progress) as bar:
        while tuning.step < steps and not tuning.is_settled(patience):
            value = tuning.learn(data.parts(tuning.step))
            bar.set_postfix(loss=f'{value:.4f}', refresh=False)
            bar.update()
            if tuning.step % check_every == 0 or tuning.step == steps:
                tuning.check(tune_source.held_out_batches(held_out))
                _draw(sheet, stage, tune_source.held_out_batches(held_out), tuning.device)
                tuning.save(state, plan)
    stage.load_state_dict(tuning.best)
    result = TuneResult(stage.eval(), tuning.losses, tuning.held_out)
    result.grid = check_grid(stage, teacher, held_out, device=device)
    result.skipped = data.skipped | held_out.skipped
    _draw(sheet, stage, tune_source.held_out_batches(held_out), tuning.device)
    done = dict(steps=len(result.losses)) | settings | told | dict(held_out=result.held_out)
    done |= dict(grid=[vars(cell) for cell in result.grid], safe=result.is_safe)
    result.sha256 = save_enhancer(stage, out, tuned=done, **(recipe or {}))
    state.unlink(missing_ok=True)
    return result


def _prepare(enhancer: Spec, device: str) -> BaseEnhancer:
    stage = prepare_enhancer(enhancer, device)
    if not any(True for _ in stage.parameters()):
        raise ConfigError(f'tuning needs an enhancer with parameters, got {type(stage).__name__}')
    building_of(stage)  # what cannot be saved is told before the work
    return stage


@dataclass(eq=False)
class _Tuning:
    """The stage, its teacher and its optimizer, from step to step."""

    stage: BaseEnhancer
    teacher: Teacher
    steps: int
    no_harm: float
    device: torch.device

    def __post_init__(self) -> None:
        stage = self.stage.requires_grad_(True)
        rates: dict[nn.Module, float] = {stage: SCI_LEARNING_RATE}
        if isinstance(stage, AdaptiveSCIEnhancer):
            rates = {stage.controller: LEARNING_RATE, stage.sci: SCI_LEARNING_RATE}
        groups = [dict(params=list(part.parameters()), lr=lr) for part, lr in rates.items()]
        self.optimizer = torch.optim.Adam(groups)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.steps)
        self.step, self.losses = 0, list[float]()
        self.held_out: dict[int, float] = {}
        self.best = copy.deepcopy(stage.state_dict())

    def learn(self, parts: Sequence[Batch]) -> float:
        """Do one step on a batch; returns its mean loss before it."""
        self.stage.train()
        # BatchNorm keeps its statistics: crops in the dark are no sample of the light.
        for module in self.stage.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        self.optimizer.zero_grad()
        value = 0.0
        for part in parts:
            loss = self._loss(part).mean() / len(parts)
            loss.backward()
            value += float(loss.detach())
        _check_finite(value, self.step + 1)
        nn.utils.clip_grad_norm_(self.stage.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        self.losses.append(value)
        return value

    def _loss(self, batch: Batch) -> Tensor:
        bright, dark = (each.to(self.device) for each in batch[:2])
        aim = self.teacher.aim(bright, batch.labels)
        enhanced = self.teacher.distance(self.teacher.look(self.stage(dark)), aim)
        with torch.no_grad():
            raw = self.teacher.distance(self.teacher.look(dark), aim)
        return enhanced + self.no_harm * (enhanced - raw).clamp_min(0)

    def prepare(self, source: Source) -> None:
        """Weigh the teacher and take the loss that the stage starts with, unless resumed."""
        batches = (each[:2] for each in tune_source.held_out_batches(source))
        self.teacher.weigh((a.to(self.device), b.to(self.device)) for a, b in batches)
        if not self.held_out:
            self.check(tune_source.held_out_batches(source))

    @torch.no_grad()
    def check(self, batches: Iterable[Batch]) -> None:
        """Take the loss on held-out crops, and keep the state if it is the best."""
        self.stage.eval()
        value = float(torch.stack([self._loss(batch).mean() for batch in batches]).mean())
        _check_finite(value, self.step)
        if value <= min(self.held_out.values(), default=math.inf):
            self.best = copy.deepcopy(self.stage.state_dict())
        self.held_out[self.step] = value
        place = f'step {self.step} of {self.steps}'
        print_log(f'{place}: loss {value:.4f} on held-out crops', logger='current')

    def is_settled(self, patience: int) -> bool:
        """Whether the last ``patience`` checks brought nothing better."""
        values = list(self.held_out.values())
        return len(values) > patience and min(values[-patience:]) > min(values[:-patience])

    def save(self, path: Path, plan: Mapping[str, Any]) -> None:
        """Write what :meth:`load` goes on from."""
        content = io.BytesIO()
        state = {name: getattr(self, name) for name in ('step', 'losses', 'held_out', 'best')}
        state |= {name: getattr(self, name).state_dict() for name in _STATES}
        state |= dict(written_by=f'{MARK} {__version__}', plan=dict(plan))
        torch.save(state, content)
        write_atomically(path, content.getvalue())

    def load(self, path: Path, plan: Mapping[str, Any]) -> None:
        """Go on from a state; ConfigError if it is of another plan, CheckpointError if damaged."""
        if not path.is_file():
            raise ConfigError(f'nothing to resume: there is no {path}')
        state = read_checkpoint(path)
        found = state.get('plan') if isinstance(state, Mapping) else None
        known = found if isinstance(found, Mapping) else {}  # older states say less
        if other := [name for name in plan if name in known and known[name] != plan[name]]:
            raise ConfigError(f'{path} was made with other {", ".join(other)}: cannot resume')
        try:
            self.losses = [float(each) for each in state['losses']]
            self.held_out = {int(step): float(each) for step, each in state['held_out'].items()}
            self.step, told = state['step'], f'with {len(self.losses)} losses'
            if self.step != len(self.losses) or self.step > self.steps:
                raise ValueError(f'step {self.step} of {self.steps}, {told}')
            self.stage.load_state_dict(state['best'])
            self.best = state['best']
            for name in _STATES:
                getattr(self, name).load_state_dict(state[name])
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            told = errors.first_line(error)
            raise CheckpointError(f'{path} is no state of this tuning: {told}') from error


def _check_finite(value: float, step: int) -> None:
    if not math.isfinite(value):
        raise TrainingError(f'loss is {value} at step {step}; nothing was written')


@torch.no_grad()
def _draw(path: Path, stage: BaseEnhancer, batches: Iterable[Batch], device: torch.device) -> None:
    """Some held-out images: in the dark, enhanced, and as they were."""
    stage.eval()
    rows = []
    for single in islice((each for batch in batches for each in batch.singles()), _PICTURES):
        enhanced = stage(single.dark.to(device)).cpu()
        shown = {'in the dark': single.dark, 'enhanced': enhanced, 'untouched': single.bright}
        rows.append([image_cell(title, each[0]) for title, each in shown.items()])
    write_sheet(path, make_grid(rows))
