"""Where the CPU time of a comparison goes: the hosts' work, ours, and the network's."""

import importlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.config import Config

from sci_plugins.apis.compare import compare
from sci_plugins.apis.config import load_config
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.evaluation.conditions import parse_condition
from sci_plugins.utils.cli import text_table
from sci_plugins.utils.machine import describe_machine, machine_line

#: What is measured against.
NETWORK = 'network'
_COMPARE = 'sci_plugins.apis.compare'
_PREPROCESSOR = 'sci_plugins.models.data_preprocessors.mixin.EnhancementMixin'
#: Part of a comparison -> whether it is ours, and the functions that do it. A part that runs inside
#: another is taken out of it.
PARTS: dict[str, tuple[bool, tuple[str, ...]]] = {
    NETWORK: (False, ('mmengine.model.BaseModel.test_step',)),
    'decoding images': (False, ('mmcv.transforms.LoadImageFromFile.transform',)),
    'the rest of the test pipeline': (False, ('mmengine.dataset.base_dataset.Compose.__call__',)),
    'normalising': (False, ('mmengine.model.ImgDataPreprocessor.forward',)),
    "the config's metric": (
        False,
        ('mmengine.evaluator.Evaluator.process', 'mmengine.evaluator.Evaluator.evaluate'),
    ),
    'building models and data sets': (
        False,
        (f'{_COMPARE}.contenders.build_model', 'mmengine.runner.Runner.build_dataloader'),
    ),
    'darkening': (
        True,
        ('sci_plugins.datasets.transforms.low_light.SynthesizeLowLight.transform',),
    ),
    'enhancement': (True, (f'{_PREPROCESSOR}.forward',)),
    'records': (
        True,
        (
            'sci_plugins.engine.hooks.ImageResultsHook.after_test_iter',
            'sci_plugins.engine.hooks.ImageResultsHook.after_test',
            f'{_COMPARE}.measuring.RecordStore.save',
            f'{_COMPARE}.measuring.RecordStore.load',
        ),
    ),
    'matching detections': (True, (f'{_COMPARE}.measuring.make_records',)),
    'intervals': (True, (f'{_COMPARE}.judging.Judge.judge',)),
    'files and report': (True, (f'{_COMPARE}.session.Session.write',)),
}
REST = 'all else'


class Stopwatch:
    """CPU time of the parts of a call, of all threads; each without those that ran inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs in the block to ``name``."""
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def watched(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """``function``, counted to ``name``."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return call

    def _turn(self) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


@dataclass(frozen=True)
class ComparisonResult:
    """CPU seconds of each part of a comparison; ``images`` were tested by each of its variants."""

    machine: dict[str, Any]
    config: str
    variants: list[str]
    condition: str
    images: int
    seconds: dict[str, float]

    def share(self, part: str) -> float:
        """Time of a part over the network's."""
        return self.seconds.get(part, 0.0) / self.seconds[NETWORK]

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def to_text(self) -> str:
        """A table of the parts, and the machine."""
        ours = {name: is_ours for name, (is_ours, _) in PARTS.items()} | {REST: True}
        rows = [
            (name, 'ours' if ours[name] else 'host', f'{seconds:.2f}', f'{self.share(name):.1%}')
            for name, seconds in sorted(self.seconds.items(), key=lambda item: -item[1])
        ]
        return (
            f'{self.config}, {self.condition}: {self.images} images, {len(self.variants)} variants '
            f'({", ".join(self.variants)}); {machine_line(self.machine)}\n'
            + text_table(('part', 'whose', 'CPU s', 'of the network'), rows)
        )


def benchmark_comparison(
    config: str, checkpoint: str, variants: Sequence[str], darken: str = 'none', repeat: int = 1
) -> ComparisonResult:
    """Compare once, without pictures, with data loading in this process.

    Args:
        config, checkpoint, variants: as of :func:`sci_plugins.apis.compare.compare`.
        darken: as compare.py's ``--darken``.
        repeat: how often the images of a COCO-style test set are listed.

    Raises:
        ConfigError: if ``repeat`` is out of range, or the test set has no COCO annotations.
    """
    check_at_least(1, 'benchmark_comparison', repeat=repeat)
    cfg, watch = load_config(config), Stopwatch()
    cfg.launcher = 'none'
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    condition = parse_condition(darken)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if repeat > 1:
            _repeat_images(cfg, repeat, Path(folder, 'annotations.json'))
        for name, (_, functions) in PARTS.items():
            for path in functions:
                owner, attribute = _find(path)
                watched = watch.watched(getattr(owner, attribute), name)
                stack.enter_context(mock.patch.object(owner, attribute, watched))
        with watch.part(REST):
            found = compare(
                cfg,
                checkpoint,
                variants,
                conditions=[condition],
                work_dir=Path(folder, 'work'),
                pictures=0,
                changed=0,
            )
    images = max(result.images for result in found.results)
    seconds = dict(watch.seconds)
    name = Path(config).name
    return ComparisonResult(
        describe_machine(), name, list(variants), condition.name, images, seconds
    )


def _repeat_images(cfg: Config, times: int, path: Path) -> None:
    """List the images and annotations of a COCO-style test set several times, with new ids."""
    dataset, evaluators = cfg.test_dataloader.dataset, cfg.test_evaluator
    annotations = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if annotations.suffix != '.json' or not annotations.is_file():
        raise ConfigError(f'--repeat needs a test set with COCO annotations, got {annotations}')
    content = json.loads(annotations.read_text())
    images, boxes = content['images'], content['annotations']
    image_step = max(image['id'] for image in images) + 1
    box_step = max(box['id'] for box in boxes) + 1
    content['images'], content['annotations'] = [], []
    for turn in range(times):
        first = turn * image_step
        content['images'] += [image | dict(id=image['id'] + first) for image in images]
        content['annotations'] += [
            box | dict(id=box['id'] + turn * box_step, image_id=box['image_id'] + first)
            for box in boxes
        ]
    path.write_text(json.dumps(content))
    dataset.ann_file = str(path)
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if 'ann_file' in evaluator:
            evaluator.ann_file = str(path)


def _find(path: str) -> tuple[Any, str]:
    """The class or module of a dotted path, and the attribute's name."""
    parts, owner = path.split('.'), None
    for end in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module('.'.join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:-1]:
            owner = getattr(owner, name)
        break
    return owner, parts[-1]
