"""Tune what stands in front of a network to that network, frozen and without labels."""

import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn
from tqdm import tqdm

from sci_plugins.apis.attach import detach
from sci_plugins.apis.compare.contenders import build_model
from sci_plugins.apis.enhance import prepare_enhancer, weight_files
from sci_plugins.datasets.darkened_crops import DarkenedCrops, Pairs
from sci_plugins.datasets.low_light_folder import find_images
from sci_plugins.errors import (
    CheckpointError,
    ConfigError,
    TrainingError,
    check_at_least,
    check_seed,
)
from sci_plugins.functional.low_light import darken
from sci_plugins.models.data_preprocessors.mixin import EnhancementMixin
from sci_plugins.models.enhancers import AdaptiveSCIEnhancer, BaseEnhancer
from sci_plugins.models.enhancers.export import building_of, save_enhancer
from sci_plugins.models.teachers import NetworkTeacher, PixelTeacher, Teacher
from sci_plugins.utils.checkpoint import read_checkpoint
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.files import MARK, check_outputs, write_atomically
from sci_plugins.utils.images import write_sheet
from sci_plugins.utils.machine import check_device
from sci_plugins.utils.model_parts import find_preprocessor
from sci_plugins.version import __version__
from sci_plugins.visualization.panels import image_cell, make_grid

#: Learning rates of the perceptron and of SCI's layers.
LEARNING_RATE, SCI_LEARNING_RATE, MAX_GRADIENT = 1e-2, 2e-3, 1.0
#: What is made worse than the untouched image costs this much more.
NO_HARM = 2.0
#: Limits of what can be asked for.
MOST_STEPS, MOST_CROPS, MOST_PIXELS = 10_000_000, 1024, 4096
#: Conditions of the table at the end: gains by noise.
GRID_GAINS, GRID_NOISES = (1.0, 0.3, 0.1, 0.05, 0.02), (0.0, 0.002, 0.004)
#: Harm up to this fraction of the loss that the untouched images have over the whole grid.
MARGIN = 0.02
_HELD_OUT_BATCHES, _RESAMPLES, _PICTURES = 12, 1000, 4
# Other numbers of batches than any step has.
_HELD_OUT = 10**9


@dataclass(frozen=True)
class GridCell:
    """Held-out crops in one condition: mean loss without and with the stage.

    Attributes:
        gain, noise: of the condition.
        raw, tuned: mean loss of the untouched and of the enhanced crops.
        low, high: 95 % interval of ``tuned - raw``, paired over crops.
        harms: whether the interval lies above the margin.
    """

    gain: float
    noise: float
    raw: float
    tuned: float
    low: float
    high: float
    harms: bool


@dataclass
class TuneResult:
    """The result of tuning.

    Attributes:
        enhancer: the tuned stage, in eval mode.
        losses: mean loss of each step.
        held_out: step -> mean loss on held-out crops.
        grid: the table of conditions.
        skipped: image file -> why it was not used.
        sha256: hash of the written file.
    """

    enhancer: BaseEnhancer
    losses: list[float] = field(default_factory=list)
    held_out: dict[int, float] = field(default_factory=dict)
    grid: list[GridCell] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    sha256: str = ''

    @property
    def is_safe(self) -> bool:
        """Whether it is nowhere in the grid worse than the untouched image beyond the margin."""
        return not any(cell.harms for cell in self.grid)

    @property
    def verdict(self) -> str:
        """The grid in a sentence."""
        harms = [f'gain {cell.gain:g}, noise {cell.noise:g}' for cell in self.grid if cell.harms]
        if not harms:
            return 'nowhere in the table worse than the image as it is: safe'
        return f'NOT SAFE: worse than the image as it is at {"; ".join(harms)}'

    def table(self) -> str:
        """The grid, as text."""
        rows = [
            [f'{cell.gain:g}', f'{cell.noise:g}', f'{cell.raw:.4f}', f'{cell.tuned:.4f}',
             f'[{cell.low:+.4f}, {cell.high:+.4f}]', 'worse' if cell.harms else '']
            for cell in self.grid
        ]  # fmt: skip
        head = ['gain', 'noise', 'raw loss', 'tuned', 'difference', '']
        return text_table(head, rows)


def network_teacher(
    cfg: Config,
    checkpoint: str,
    *,
    input_order: str = 'bgr',
    device: str = 'cpu',
    trust: bool = False,
) -> tuple[NetworkTeacher, dict[str, Any]]:
    """A network as a teacher, and what a recipe says about it.

    Args:
        cfg: any mmdet or mmseg config; an enhancer in it is taken off.
        checkpoint: its file.
        input_order: channel order of the config's images.
        device: such as ``'cpu'`` or ``'cuda'``.
        trust: allow a checkpoint that holds other objects than weights.

    Raises:
        ConfigError: if no gradient passes through the network, see :class:`NetworkTeacher`.
        CheckpointError: if the checkpoint does not fit.
    """
    model = build_model(cfg, checkpoint, trust)
    if isinstance(find_preprocessor(model), EnhancementMixin):
        detach(model)
    teacher = NetworkTeacher(model.to(check_device(device)), input_order)
    content = Path(checkpoint).read_bytes()
    about = dict(
        config=Path(str(cfg.filename)).name,
        config_sha256=hashlib.sha256(cfg.pretty_text.encode()).hexdigest(),
        checkpoint=Path(checkpoint).name,
        checkpoint_sha256=hashlib.sha256(content).hexdigest(),
    )
    return teacher, dict(teacher=type(model).__name__, host=about)


def tune(
    images: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    teacher: Teacher | None = None,
    enhancer: nn.Module | Mapping[str, Any] | str = 'adaptive',
    *,
    as_they_are: Sequence[str | os.PathLike[str]] = (),
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
    """Tune a stage with photographs by day, darkened on the fly; no labels.

    ``loss = distance + no_harm * relu(distance - distance of the raw crop)``: what the stage makes
    worse than the untouched image costs more. Adam, cosine schedule; every ``check_every`` steps
    the loss on held-out crops is taken, a picture is drawn, and a state is written from which the
    run can be resumed to the bit. The best state on the held-out crops is kept. At the end the
    table of conditions says where the stage is worse than the untouched image.

    Files: ``OUT``, and beside it ``OUT_progress.jpg`` and, until the end, ``OUT_state.pth``.

    Args:
        images: files and folders of photographs by day. One in eight files is held out.
        out: file to write, such as ``adaptive.pth``; ``'adaptive/adaptive.pth'`` names it then.
        teacher: what the stage is tuned to; ``None``: the untouched pixels.
        enhancer: the start: anything that ``build_enhancer`` takes and that has parameters.
        as_they_are: files and folders of dark photographs that the network knows as they are.
        steps, batch_size, crop_size: of the training; a network may need multiples of 32.
        no_harm: extra weight of harm.
        check_every: steps from one check on held-out crops to the next.
        patience: stop after so many checks without a better one.
        seed: of crops, darkness and order.
        device: such as ``'cpu'`` or ``'cuda'``.
        progress: show a progress bar on stderr.
        resume: go on from ``OUT_state.pth``.
        overwrite: replace files that no tool of this package wrote; never an input.
        recipe: what else goes into the file's ``meta``.

    Raises:
        ConfigError: if an option is invalid, the enhancer has no parameters, an output would
            replace a user's file, or there is nothing to resume.
        DataError: if no image can be used, or all are dark.
        TrainingError: if the loss becomes NaN or infinite; nothing is written then.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    check_seed(seed)
    check_at_least(1, most=MOST_STEPS, steps=steps, check_every=check_every, patience=patience)
    check_at_least(1, most=MOST_CROPS, batch_size=batch_size)
    check_at_least(32, most=MOST_PIXELS, crop_size=crop_size)
    if not 0 <= no_harm < math.inf:
        raise ConfigError(f'no_harm must be a finite number from 0, got {no_harm}')
    stage = _prepare(enhancer, device)
    settings: dict[str, Any] = dict(crop_size=crop_size, batch_size=batch_size, seed=seed)
    data, held_out = (
        DarkenedCrops(files, as_they_are, **settings) for files in _split(images, seed)
    )
    beside = (out.with_name(f'{out.stem}_{name}') for name in ('progress.jpg', 'state.pth'))
    files = _Files(out, *beside)
    photographs = [*data.files, *held_out.files]
    inputs = [*photographs, *as_they_are, *weight_files(enhancer)]
    check_outputs(*files, inputs=inputs, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    teacher = teacher or PixelTeacher()
    tuning = _Tuning(stage, teacher, steps, no_harm, torch.device(device))
    plan = settings | dict(steps=steps, no_harm=no_harm, images=_hash_files(photographs))
    if resume:
        tuning.load(files.state, plan)
    checks = [held_out.batch(_HELD_OUT + index) for index in range(_HELD_OUT_BATCHES)]
    teacher.weigh([(pair.bright.to(device), pair.dark.to(device)) for pair in checks])
    with tqdm(total=steps, initial=tuning.step, unit='step', disable=not progress) as bar:
        while tuning.step < steps and not tuning.is_settled(patience):
            value = tuning.learn(data.batch(tuning.step))
            bar.set_postfix(loss=f'{value:.4f}', refresh=False)
            bar.update()
            if tuning.step % check_every == 0 or tuning.step == steps:
                tuning.check(checks)
                _draw(files.sheet, stage, checks[0], tuning.device)
                tuning.save(files.state, plan)
    stage.load_state_dict(tuning.best)
    result = TuneResult(stage.eval(), tuning.losses, tuning.held_out)
    result.grid = check_grid(stage, teacher, held_out, device=device)
    result.skipped = data.skipped | held_out.skipped
    _draw(files.sheet, stage, checks[0], tuning.device)
    told = _tell(result, photographs, settings | dict(no_harm=no_harm))
    result.sha256 = save_enhancer(stage, out, tuned=told, **(recipe or {}))
    files.state.unlink(missing_ok=True)
    return result


class _Files(NamedTuple):
    """What tuning writes: the weights, and beside them a picture and a state."""

    out: Path
    sheet: Path
    state: Path


def _prepare(enhancer: nn.Module | Mapping[str, Any] | str, device: str) -> BaseEnhancer:
    stage = prepare_enhancer(enhancer, device)
    if not any(True for _ in stage.parameters()):
        raise ConfigError(f'tuning needs an enhancer with parameters, got {type(stage).__name__}')
    building_of(stage)  # what cannot be saved is told before the work
    return stage


def _tell(
    result: TuneResult, photographs: Sequence[Path], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the file says about its tuning."""
    return dict(
        steps=len(result.losses),
        **settings,
        images=len(photographs),
        images_sha256=_hash_files(photographs),
        held_out={str(step): value for step, value in result.held_out.items()},
        grid=[vars(cell) for cell in result.grid],
        safe=result.is_safe,
    )


def check_grid(
    stage: BaseEnhancer,
    teacher: Teacher,
    crops: DarkenedCrops,
    *,
    gains: Sequence[float] = GRID_GAINS,
    noises: Sequence[float] = GRID_NOISES,
    margin: float = MARGIN,
    device: str = 'cpu',
) -> list[GridCell]:
    """Loss without and with a stage on the same crops in every light and noise.

    Args:
        stage: in eval mode.
        teacher: what is compared with the untouched crops.
        crops: where they come from; how they are darkened there does not matter.
        gains, noises: the grid.
        margin: harm that is tolerated, as a fraction of the raw loss over the whole grid.
        device: of stage and teacher.
    """
    bright = torch.cat([crops.batch(_HELD_OUT + 100 + k).bright for k in range(4)])
    generator = np.random.default_rng(0)
    pixels = (bright.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    aims = [_seen(teacher, each[None].to(device)) for each in bright]
    measured = {}
    for gain in gains:
        for noise in noises:
            dark = np.stack([darken(each, gain, noise, 0, generator) for each in pixels])
            images = torch.from_numpy(dark).permute(0, 3, 1, 2).float() / 255
            measured[gain, noise] = _pairs_of_losses(stage, teacher, images.to(device), aims)
    unit = float(torch.stack([losses[:, 0].mean() for losses in measured.values()]).mean())
    return [
        _judge(gain, noise, losses.numpy(), margin * unit)
        for (gain, noise), losses in measured.items()
    ]


@torch.no_grad()
def _pairs_of_losses(
    stage: BaseEnhancer, teacher: Teacher, images: Tensor, aims: list[Any]
) -> Tensor:
    rows = []
    for image, aim in zip(images, aims, strict=True):
        seen = [teacher.look(each) for each in (image[None], stage(image[None]))]
        rows.append(torch.cat([teacher.distance(each, aim) for each in seen]))
    return torch.stack(rows).cpu()


def _judge(gain: float, noise: float, losses: np.ndarray, margin: float) -> GridCell:
    difference = losses[:, 1] - losses[:, 0]
    draws = np.random.default_rng(0).integers(len(losses), size=(_RESAMPLES, len(losses)))
    low, high = np.quantile(difference[draws].mean(1), (0.025, 0.975))
    raw, tuned = losses.mean(0)
    cell = (gain, noise, float(raw), float(tuned), float(low), float(high))
    return GridCell(*cell, harms=bool(low > margin))


class _Tuning:
    """The stage, its teacher and its optimizer, from step to step."""

    def __init__(
        self, stage: BaseEnhancer, teacher: Teacher, steps: int, no_harm: float,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.stage, self.teacher, self.no_harm, self.device = stage, teacher, no_harm, device
        self.steps = steps
        stage.requires_grad_(True)
        if not isinstance(stage, AdaptiveSCIEnhancer):
            groups = [dict(params=list(stage.parameters()), lr=SCI_LEARNING_RATE)]
        else:
            groups = [
                dict(params=list(stage.controller.parameters()), lr=LEARNING_RATE),
                dict(params=list(stage.sci.parameters()), lr=SCI_LEARNING_RATE),
            ]
        self.optimizer = torch.optim.Adam(groups)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)
        self.step, self.losses = 0, list[float]()
        self.held_out: dict[int, float] = {}
        self.best = _copy(stage)

    def learn(self, pairs: Pairs) -> float:
        """Do one step on a batch; returns its mean loss before it."""
        self.stage.train()
        _keep_norms(self.stage)
        loss = self._loss(pairs).mean()
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(f'loss is {value} at step {self.step + 1}; nothing was written')
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.stage.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        self.losses.append(value)
        return value

    def _loss(self, pairs: Pairs) -> Tensor:
        bright, dark = (each.to(self.device) for each in pairs)
        aim = _seen(self.teacher, bright)
        enhanced = self.teacher.distance(self.teacher.look(self.stage(dark)), aim)
        with torch.no_grad():
            raw = self.teacher.distance(self.teacher.look(dark), aim)
        return enhanced + self.no_harm * (enhanced - raw).clamp_min(0)

    @torch.no_grad()
    def check(self, batches: Sequence[Pairs]) -> None:
        """Take the loss on held-out crops, and keep the state if it is the best."""
        self.stage.eval()
        value = float(torch.stack([self._loss(batch).mean() for batch in batches]).mean())
        if value <= min(self.held_out.values(), default=math.inf):
            self.best = _copy(self.stage)
        self.held_out[self.step] = value
        told = f'step {self.step} of {self.steps}: loss {value:.4f} on held-out crops'
        print_log(told, logger='current')

    def is_settled(self, patience: int) -> bool:
        """Whether the last ``patience`` checks brought nothing better."""
        values = list(self.held_out.values())
        return len(values) > patience and min(values[-patience:]) > min(values[:-patience])

    def save(self, path: Path, plan: Mapping[str, Any]) -> None:
        """Write what :meth:`load` goes on from."""
        content = io.BytesIO()
        state = dict(
            written_by=f'{MARK} {__version__}',
            plan=dict(plan),
            step=self.step,
            losses=self.losses,
            held_out=self.held_out,
            stage=self.stage.state_dict(),
            best=self.best,
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
        )
        torch.save(state, content)
        write_atomically(path, content.getvalue())

    def load(self, path: Path, plan: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ConfigError: if there is none, or it was made with other settings or images.
            CheckpointError: if it is damaged or of another stage.
        """
        if not path.is_file():
            raise ConfigError(f'nothing to resume: there is no {path}')
        state = read_checkpoint(path)
        found = state.get('plan') if isinstance(state, Mapping) else None
        if isinstance(found, Mapping):
            other = [name for name in plan if found.get(name) != plan[name]]
            if other:
                raise ConfigError(f'{path} was made with other {", ".join(other)}: cannot resume')
        try:
            self.stage.load_state_dict(state['stage'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.schedule.load_state_dict(state['schedule'])
            self.step, self.losses = state['step'], list(state['losses'])
            self.held_out, self.best = dict(state['held_out']), dict(state['best'])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f'{path} is no state of this tuning: {error}') from error


def _keep_norms(stage: nn.Module) -> None:
    """BatchNorm keeps its statistics: crops in the dark are no sample of the light."""
    for module in stage.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _copy(stage: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in stage.state_dict().items()}


def _seen(teacher: Teacher, image: Tensor) -> Any:
    with torch.no_grad():
        return teacher.look(image)


def _split(images: Sequence[str | os.PathLike[str]], seed: int) -> tuple[list[Path], list[Path]]:
    """Files to learn from and files to check with: one in eight, at least one."""
    files = [path for root in images for path in find_images(root)]
    if len(files) < 2:
        raise ConfigError(
            f'tuning needs at least 2 photographs, one of them to check with, got {len(files)}'
        )
    order = np.random.default_rng(seed).permutation(len(files))
    held_out = set(order[: max(1, len(files) // 8)].tolist())
    return (
        [path for index, path in enumerate(files) if index not in held_out],
        [path for index, path in enumerate(files) if index in held_out],
    )


def _hash_files(files: Sequence[Path]) -> str:
    """One hash over the contents of the files, whatever their folder and order."""
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256('\n'.join(hashes).encode()).hexdigest()


@torch.no_grad()
def _draw(path: Path, stage: BaseEnhancer, pairs: Pairs, device: torch.device) -> None:
    """Some held-out crops: in the dark, enhanced, and as they were."""
    enhanced = stage.eval()(pairs.dark.to(device)).cpu()
    columns = {'in the dark': pairs.dark, 'enhanced': enhanced, 'untouched': pairs.bright}
    rows = [
        [image_cell(name, images[index]) for name, images in columns.items()]
        for index in range(min(_PICTURES, len(enhanced)))
    ]
    write_sheet(path, make_grid(rows))
