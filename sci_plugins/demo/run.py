"""Run the built-in demo: dark faces and night streets, without and with SCI."""

import gc
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from sci_plugins.apis.compare import compare
from sci_plugins.apis.config import load_config
from sci_plugins.demo import BRIGHT, CONDITIONS, STREET_CLASSES, prepare_demo
from sci_plugins.errors import ConfigError, check_at_least
from sci_plugins.evaluation.bootstrap import Interval
from sci_plugins.evaluation.comparison import Comparison, finite_or_none, percent_factor
from sci_plugins.utils.checkpoint import use_safe_loading
from sci_plugins.utils.cli import quiet_hosts
from sci_plugins.utils.files import MARK, check_outputs, write_atomically, write_json
from sci_plugins.utils.schema import to_content
from sci_plugins.version import __version__
from sci_plugins.visualization.report.cells import Cell, make_cell
from sci_plugins.visualization.report.markdown import markdown_table
from sci_plugins.weights import DEFAULT_ENHANCER

#: Sheets of pictures for each task and condition.
_PICTURES = 3
_LABELS = ('without', 'gamma', 'SCI', 'gated SCI', 'adaptive')
_HEAD = (
    'task', 'images', *_LABELS, 'Δ SCI', '95 % interval', 'verdict on SCI', 'on gated SCI',
    'on adaptive', 'best',
)  # fmt: skip


class Task(NamedTuple):
    """One network of the demo and its metric."""

    title: str
    config: str
    weights: str
    metric: str
    prefix: tuple[str, str]  # key of ``data_prefix``, and the folder of the bright images
    caption: str  # what a reader sees in the pictures


TASKS = dict(
    faces=Task(
        title='dark faces: a RetinaNet trained on bright images, AP50',
        config='faces_retinanet_tiny.py',
        weights='demo_faces_retinanet_tiny.pth',
        metric='bbox_mAP_50',
        prefix=('img', 'image'),
        caption='*Green: the faces to find. Red: what the network found, with its score (from '
        '0.3). What has no green box is there to mislead: people seen from behind, printed '
        'balloons, balls, globe lamps, photographs on a wall.*',
    ),
    streets=Task(
        title='night streets: an FCN trained on bright images, mIoU',
        config='streets_fcn_unet_tiny.py',
        weights='demo_streets_fcn_unet_tiny.pth',
        metric='mIoU',
        prefix=('img_path', 'leftImg8bit/test'),
        caption=f'*Colours: {", ".join(STREET_CLASSES)} as in Cityscapes.*',
    ),
)


class Row(NamedTuple):
    """One row of the demo's table."""

    task: str
    condition: str
    images: int
    values: dict[str, float]  # variant -> the task's metric
    changes: dict[str, Interval]  # variant -> its difference from no enhancement, with its interval


def run_demo(
    out: str | Path,
    configs: str | Path,
    *,
    enhancer: str = DEFAULT_ENHANCER,
    data: str | Path | None = None,
    images: int | None = None,
    verbose: bool = True,
) -> list[Row]:
    """Compare networks without and with enhancement on generated images; gives the table's rows.

    The variants are a plain gamma curve, the enhancer, the enhancer behind a gate (``gated/``),
    which leaves bright images alone, and the adaptive stage.

    Args:
        out: output folder: ``README.md`` (table and pictures), ``results.json``,
            ``pictures/TASK_CONDITION/`` and all numbers in ``TASK/CONDITION/``.
        configs: the folder ``configs/demo``.
        enhancer: name of the enhancer in front of both networks.
        data: folder of the generated images; ``None`` is the cache folder.
        images: number of test images of each task; ``None`` takes all.
        verbose: leave what the hosts print on the console, not in ``console.log``.

    Raises:
        ConfigError: if ``configs`` does not hold the demo's configs, or ``images`` is below 1.
    """
    if images is not None:
        check_at_least(1, images=images)
    out, configs = Path(out), Path(configs)
    for path in (configs / task.config for task in TASKS.values()):
        if not path.is_file():
            raise ConfigError(f'{path} not found: run the demo from the source tree')
    check_outputs(out / 'results.json', out / 'README.md')
    root = prepare_demo(data, splits=('test',))
    use_safe_loading()
    rows = []
    for name, task in TASKS.items():
        print(f'\n{task.title}')
        for condition in CONDITIONS:
            print(f'  {describe(condition)}')
            cfg = configure(configs, root, name, condition, images)
            with quiet_hosts(out / 'console.log', verbose):
                comparison = _compare(cfg, out, name, condition, enhancer)
            rows.append(_row(name, condition, comparison))
            # MMEngine collects garbage for each data set: half a second, unless hosts are exempt.
            gc.freeze()
    results = [
        row._asdict()
        | dict(metric=TASKS[row.task].metric, values=finite_or_none(row.values))
        | dict(condition=dict(CONDITIONS[row.condition]._asdict(), name=row.condition))
        | dict(changes=to_content(row.changes))
        for row in rows
    ]
    write_json(out / 'results.json', dict(enhancer=enhancer, results=results))
    write_atomically(out / 'README.md', _report(rows, enhancer, out, root))
    return rows


def configure(
    configs: Path, root: Path, name: str, condition: str, images: int | None = None
) -> Config:
    """The config of a task with the test images of one condition."""
    cfg = load_config(str(configs / TASKS[name].config))
    dataset, (key, folder) = cfg.test_dataloader.dataset, TASKS[name].prefix
    dataset.data_root = str(root / f'{name}_test')
    bright = CONDITIONS[condition] == BRIGHT
    dataset.data_prefix[key] = folder if bright else f'{folder}_{condition}'
    if images is not None:
        dataset.indices = images
    return cfg


def describe(condition: str) -> str:
    """A condition's name and its lighting."""
    return f'{condition} ({CONDITIONS[condition].describe()})'


def _compare(cfg: Config, out: Path, name: str, condition: str, enhancer: str) -> Comparison:
    folder, weights = out / name / condition, Path(__file__).parent / TASKS[name].weights
    variants = list(dict.fromkeys(_variants(enhancer)))
    options: Any = dict(pictures=_PICTURES, changed=0, report=False, metric=TASKS[name].metric)
    comparison = compare(cfg, str(weights), variants, work_dir=folder, **options)
    shutil.rmtree(folder / 'runs', ignore_errors=True)  # MMEngine's empty log folders
    # In one folder, where a reader looks first.
    source, target = folder / 'pictures', _picture_folder(out, name, condition)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in sorted(source.rglob('*.jpg')):
        shutil.move(path, target / path.name)
    shutil.rmtree(source, ignore_errors=True)
    return comparison


def _picture_folder(out: Path, name: str, condition: str) -> Path:
    return out / 'pictures' / f'{name}_{condition}'


def _variants(enhancer: str) -> list[str]:
    """In the order of the table's columns."""
    return ['none', 'gamma', enhancer, gated(enhancer), 'adaptive']


def gated(enhancer: str) -> str:
    """Name of an enhancer behind the gate, unless it already has one."""
    return enhancer if enhancer.startswith('gated/') else f'gated/{enhancer}'


def _row(name: str, condition: str, comparison: Comparison) -> Row:
    values, changes = {}, {}
    for result in comparison.results:
        found = (v for k, v in result.metrics.items() if k.endswith(TASKS[name].metric))
        values[result.variant] = next(found, math.nan)
        if result.analysis is not None:
            changes[result.variant] = result.analysis.main
    return Row(name, condition, comparison.results[0].images, values, changes)


def _report(rows: list[Row], enhancer: str, out: Path, root: Path) -> str:
    table = [_table_row(row, enhancer) for row in rows]
    parts = [_INTRODUCTION, *markdown_table(_HEAD, table), '', _READING]
    for name, task in TASKS.items():
        parts += [f'## {task.title[0].upper()}{task.title[1:]}', '']
        for row in (row for row in rows if row.task == name):
            pictures = sorted(_picture_folder(out, name, row.condition).glob('*.jpg'))
            parts += [f'### {name}, {describe(row.condition)}', '', _verdict(row, enhancer), '']
            parts += [f'![{row.condition}]({path.relative_to(out)})' for path in pictures[:1]]
            told = f'All metrics: [table]({name}/{row.condition}/comparison.md).'
            parts += ['', task.caption, '', told, '']
    parts += [f'The images and their labels are in `{root}`. {MARK} {__version__}.']
    return '\n'.join(parts) + '\n'


def _best(row: Row, enhancer: str) -> tuple[str, str]:
    """Label and variant of the highest value, the first of equals; empty if none is defined."""
    pairs = zip(_LABELS, _variants(enhancer), strict=True)
    known = [pair for pair in pairs if not math.isnan(row.values.get(pair[1], math.nan))]
    return max(known, key=lambda pair: row.values[pair[1]], default=('', ''))


def _told(row: Row, name: str) -> Cell:
    """A variant's value, its change, the interval of that and the verdict, in percent."""
    metric = TASKS[row.task].metric
    value = percent_factor(metric) * row.values.get(name, math.nan)
    change = row.changes.get(name, Interval(math.nan, math.nan, math.nan))
    return make_cell((math.nan, value), change.scaled(percent_factor(metric)), metric)


def _verdict(row: Row, enhancer: str) -> str:
    """Which variant is best here, and whether it is shown to differ from none."""
    label, name = _best(row, enhancer)
    told, bare = _told(row, name), _told(row, 'none').value
    if not label:
        return '**Best here: undefined.**'
    if name == 'none':
        return f'**Best here: no enhancement, {bare}.**'
    change = f'The change is {told.delta} ({told.interval}): {told.verdict}.'
    return f'**Best here: {label}, {told.value}; without: {bare}.** {change}'


def _table_row(row: Row, enhancer: str) -> list[str]:
    told = [_told(row, name) for name in _variants(enhancer)]
    head = [f'{row.task} ({TASKS[row.task].metric})', describe(row.condition)]
    head += [*(each.value for each in told), told[2].delta, told[2].interval]
    return [*head, *(each.verdict for each in told[2:]), _best(row, enhancer)[0]]


_INTRODUCTION = """# Does SCI help a network that was trained by day?

Two small networks, trained on bright images only, see the same scenes bright, dark, very dark, and
dark with a noisy sensor: unchanged ("without"), brightened by a plain gamma curve, by SCI, by SCI
behind a gate that passes only dark images to it, and by the adaptive stage, which looks first at
the light and noise of each image. Neither the conditions nor the enhancers were chosen by these
results.
"""

_READING = """The faces are real photographs on drawn people, the streets and rooms are rendered:
this shows how the parts work together and is not a benchmark. "Best" is the highest value of the
row, perhaps by chance; all numbers are in percent. The verdicts say what is shown. They come from a
paired bootstrap over the images: helps, hurts, no difference beyond ±δ (0.5 points), or too few
images to tell.

In each picture below, the first column shows the input and the ground truth, each further column a
variant: what the network sees above, what it finds below.
"""
