"""A published benchmark in one command: check, train what is missing, compare, print both tables.

    sci-plugins reproduce darkface data/DarkFace --model s3fd_vgg16 --seeds 0 1 2 --dry-run
    sci-plugins reproduce darkface data/DarkFace --model s3fd_vgg16 --seeds 0 1 2
    sci-plugins reproduce acdc data/ACDC --model pspnet_r50-d8 --launcher pytorch --processes 4
    sci-plugins reproduce darkzurich data/DarkZurich --model pspnet_r50-d8 --start psp.pth

Trains the plain network, SCI frozen in front and SCI jointly, each with every seed; the networks of
sets without labels for training are only tested, as published. Started again, it goes on where it
was. Published numbers are quoted, with their protocol, not reproduced: they are comparable only
where the protocol is the same.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sci_plugins.errors import ConfigError, check_at_least, check_seed
from sci_plugins.utils.cli import HelpFormatter, quiet_hosts, run, text_table
from sci_plugins.utils.files import MARK, check_outputs, write_atomically

ROOT = Path(__file__).resolve().parents[1]


class Benchmark(NamedTuple):
    """A data set: folder of its configs, the variable of its root, ends of config names.

    ``trains``: whether networks are trained on it.
    """

    folder: str
    variable: str
    ends: tuple[str, ...]
    trains: bool = True


SETS = {
    'darkface': Benchmark('darkface', 'SCI_PLUGINS_DARKFACE', ('darkface', 'darkface-1500')),
    'acdc': Benchmark('night', 'SCI_PLUGINS_ACDC', ('acdc-night',)),
    'nightcity': Benchmark('night', 'SCI_PLUGINS_NIGHTCITY', ('nightcity',)),
    'darkzurich': Benchmark('night', 'SCI_PLUGINS_DARK_ZURICH', ('cityscapes-dark-zurich',), False),
    'nightdriving': Benchmark(
        'night', 'SCI_PLUGINS_NIGHT_DRIVING', ('cityscapes-night-driving',), False
    ),
}
#: Set and network -> source with its protocol, and its numbers in percent.
PUBLISHED = {
    ('darkface', 's3fd_vgg16'): [
        (
            "SCI (CVPR 2022), figure: from WIDER FACE, fine-tuned on each method's images, "
            '1000 test images, metric not stated; no baseline without enhancer',
            'RUAS 63.8, Zero-DCE 64.5, SCI 66.3, SCI+ (trained jointly) 68.0',
        )
    ],
    ('darkface', 'tood_r50_fpn'): [
        ('YOLA: TOOD, 1500 x 1000, another 5400/600 split, VOC AP50 (area)', 'YOLA 67.5')
    ],
    ('acdc', 'pspnet_r50-d8'): [
        (
            'SCI (CVPR 2022), read off a chart (+-0.2): PSPNet, all classes; no baseline',
            'KinD 43.9, EnGAN 44.5, RUAS 44.8, Zero-DCE 45.2, SCI 46.1',
        )
    ],
    ('acdc', 'deeplabv3plus_r50-d8'): [
        ('IAT: DeepLabV3+, 20k iterations, crop 512, 15 classes', 'raw 63.33, IAT 63.77')
    ],
    ('darkzurich', 'pspnet_r50-d8'): [
        ("mmseg's model zoo: the same Cityscapes weights, Dark Zurich val, 19 classes", 'raw 10.91')
    ],
    ('nightdriving', 'pspnet_r50-d8'): [
        ("mmseg's model zoo: the same Cityscapes weights, 19 classes", 'raw 23.02')
    ],
}
#: Network -> million parameters, and seconds for a training image on one data-centre GPU: guesses.
SIZES = {
    's3fd_vgg16': (22.5, 0.03),
    'retinanet_r50_fpn': (36.1, 0.05),
    'tood_r50_fpn': (31.8, 0.09),
    'yolox_s': (8.9, 0.02),
    'yolox-p2_w25': (1.3, 0.02),
    'deeplabv3plus_r50-d8': (43.6, 0.05),
    'pspnet_r50-d8': (49.0, 0.05),
    'segformer_mit-b0': (3.7, 0.03),
}
#: How much longer a CPU takes, roughly.
CPU = 60
VARIANTS = {'plain': '', 'sci-frozen': 'sci-frozen_', 'sci-joint': 'sci-joint_'}


@dataclass(frozen=True)
class Step:
    """A command, the file that says that it is done, and what it takes."""

    name: str
    command: list[str]
    done: Path
    hours: float = 0.0
    gigabytes: float = 0.0


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('name', choices=list(SETS), help='the data set')
    parser.add_argument('root', help="the data set's folder, in its native layout")
    parser.add_argument(
        *('--model', '--detector', '--segmentor'),
        required=True,
        choices=list(SIZES),
        metavar='NAME',
        help=f'network: {", ".join(SIZES)}',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='of the trainings')
    parser.add_argument('--work-dir', help='(default: work_dirs/NAME_MODEL)')
    parser.add_argument(
        '--start', metavar='FILE', help="weights to start from, in place of the config's load_from"
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE')
    parser.add_argument(
        '--day-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help="cfg-options of s3fd_vgg16's training by day",
    )
    parser.add_argument('--resample', default='images', help='what the bootstrap draws')
    parser.add_argument('--launcher', choices=['none', 'pytorch'], default='none')
    parser.add_argument('--processes', type=int, default=1, help='with --launcher pytorch')
    parser.add_argument('--skip-check', action='store_true', help='train on what is there')
    parser.add_argument('--dry-run', action='store_true', help='list the steps, with time and disk')
    return parser.parse_args()


def write_configs(args: argparse.Namespace, work: Path) -> dict[str, tuple[Path, Any]]:
    """The benchmark's configs with the user's options, by variant; not written by a dry run."""
    from sci_plugins.apis.config import load_config

    benchmark, found = SETS[args.name], {}
    os.environ[benchmark.variable] = str(Path(args.root).resolve())
    options = _parsed([*args.cfg_options, *([f'load_from={args.start}'] if args.start else [])])
    for variant, part in VARIANTS.items() if benchmark.trains else [('plain', '')]:
        pattern = rf'{re.escape(args.model)}_{part}[^_]+_({"|".join(benchmark.ends)})'
        files = sorted((ROOT / 'configs' / benchmark.folder).glob('*.py'))
        fitting = [path for path in files if re.fullmatch(pattern, path.stem)]
        if fitting:
            found[variant] = (
                work / 'configs' / fitting[0].name,
                load_config(str(fitting[0]), options),
            )
    if 'plain' not in found:
        raise ConfigError(f'there is no config of {args.model} for {args.name} in configs/')
    if not args.dry_run:
        (work / 'configs').mkdir(parents=True, exist_ok=True)
        for path, cfg in found.values():
            cfg.dump(path)
    return found


def use_day_detector(args: argparse.Namespace, work: Path) -> Iterator[Step]:
    """S3FD starts from WIDER FACE: from a file that is there, or from a training of our own."""
    from sci_plugins.apis.config import load_config

    known = os.environ.get('SCI_PLUGINS_DAY_DETECTOR')
    if args.model != 's3fd_vgg16' or args.start or (known and Path(known).is_file()):
        return
    if not Path(os.environ.get('SCI_PLUGINS_WIDERFACE', 'data/WIDERFace')).is_dir():
        raise ConfigError(
            's3fd_vgg16 starts from WIDER FACE: pass its weights with --start FILE, or set '
            'SCI_PLUGINS_WIDERFACE to the folder of the set'
        )
    config = ROOT / 'configs/darkface/s3fd_vgg16_120k_widerface.py'
    cfg = load_config(str(config), _parsed(args.day_options))
    options = ['--cfg-options', *args.day_options] if args.day_options else []
    options = ['--work-dir', work / 'day', '--resume', *options]
    step = _training(args, work, 'train by day', cfg, _tool('train', config, *options), 'day')
    args.start = str(step.done)
    yield step


def _parsed(options: list[str]) -> dict[str, Any]:
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument('--o', nargs='*', action=DictAction, default={})
    parsed: dict[str, Any] = parser.parse_args(['--o', *options]).o
    return parsed


def steps_of(args: argparse.Namespace, work: Path) -> Iterator[Step]:
    """Everything from the check to the comparison, in order."""
    if not args.skip_check:
        report = work / 'check.json'
        yield Step('check', _tool('prepare_data', args.name, args.root, '--json', report), report)
    if SETS[args.name].trains:
        yield from use_day_detector(args, work)
    configs = write_configs(args, work)
    checkpoints = {'plain-0': Path(args.start or '')}
    if SETS[args.name].trains:
        checkpoints = {}
        for seed, (variant, (config, cfg)) in product(args.seeds, configs.items()):
            folder = f'{variant}/seed-{seed}'
            options = ['--work-dir', work / folder, '--resume']
            options += ['--cfg-options', f'randomness.seed={seed}']
            name, command = f'train {variant}, seed {seed}', _tool('train', config, *options)
            step = _training(args, work, name, cfg, command, folder)
            checkpoints[f'{variant}-{seed}'] = step.done
            yield step
    yield _comparison(args, work, configs, checkpoints)


def _training(
    args: argparse.Namespace, work: Path, name: str, cfg: Any, command: list[str], folder: str
) -> Step:
    loop, batch = cfg.train_cfg, cfg.train_dataloader.get('batch_size', 1)
    by_epoch = loop.get('max_epochs') is not None
    last = f'epoch_{loop.max_epochs}.pth' if by_epoch else f'iter_{loop.max_iters}.pth'
    images = loop.max_epochs * _TRAINING_IMAGES if by_epoch else loop.max_iters * batch
    hours = images * _seconds_per_image(args, work, batch) / args.processes / 3600
    gigabytes = SIZES[args.model][0] * 0.024  # two checkpoints with the optimizer's state
    return Step(name, _launched(args, command), work / folder / last, hours, gigabytes)


#: Of DARK FACE's split, the only set here that is trained by epochs.
_TRAINING_IMAGES = 5000


def _seconds_per_image(args: argparse.Namespace, work: Path, batch: int) -> float:
    """Measured in an earlier training of this work dir; else a guess."""
    import torch

    times = []
    for path in work.glob('*/seed-*/*/vis_data/scalars.json'):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        times += [line['time'] / batch for line in lines if 'time' in line and 'loss' in line]
    guess = SIZES[args.model][1] * (1 if torch.cuda.is_available() else CPU)
    return median(times) if times else guess


def _comparison(
    args: argparse.Namespace,
    work: Path,
    configs: dict[str, tuple[Path, Any]],
    checkpoints: dict[str, Path],
) -> Step:
    first = next(iter(checkpoints))
    options: list[Any] = ['--work-dir', work / 'compare', '--resume', '--resample', args.resample]
    if SETS[args.name].trains:  # the trainings alone, each by its label, so that seeds are grouped
        models = [f'{n}={configs[n.rpartition("-")[0]][0]},{p}' for n, p in checkpoints.items()]
        options += ['--base', first, '--variants', '--models', *models]
    else:
        options += ['--variants', 'none', 'sci/official/medium', 'gated/sci/official/medium']
    command = _tool('compare', configs['plain'][0], checkpoints[first], *options)
    return Step(
        'test and compare',
        _launched(args, command),
        work / 'compare/report.html',
        0.1 * len(checkpoints),
        0.1,
    )


def _tool(name: str, *arguments: Any) -> list[str]:
    return [sys.executable, str(ROOT / f'tools/{name}.py'), *map(str, arguments)]


def _launched(args: argparse.Namespace, command: list[str]) -> list[str]:
    if args.launcher == 'none':
        return command
    start = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node']
    script, *rest = command[1:]
    return [*start, str(args.processes), script, *_with_launcher(rest)]


def _with_launcher(arguments: list[str]) -> list[str]:
    """``--launcher`` in front of the options that take several values."""
    return [arguments[0], '--launcher', 'pytorch', *arguments[1:]] if arguments else []


def tell(args: argparse.Namespace, work: Path) -> str:
    """Our numbers, beside those that were published for this network and set."""
    from sci_plugins.evaluation.comparison import percent_factor, read_comparison

    comparison = read_comparison(work / 'compare/comparison.json')
    rows = []
    for result in comparison.results:
        found = result.analysis
        for metric, value in result.metrics.items():
            scale = percent_factor(metric)
            change = ''
            if found and metric.rpartition('/')[2] in (found.metric, 'AP'):
                ends = [
                    scale * each for each in (found.main.delta, found.main.low, found.main.high)
                ]
                change = '{:+.1f} [{:+.1f}, {:+.1f}] {}'.format(*ends, found.main.verdict)
            if metric.rpartition('/')[2] in ('AP', 'VOC_AP50_area', 'mIoU', 'bbox_mAP_50'):
                rows.append((result.variant, metric, f'{scale * value:.2f}', change))
    about = comparison.about
    told = [f'{key} {about[key]}' for key in ('split', 'annotation_version') if key in about]
    protocol = ', '.join([about['config'], f'{comparison.results[0].images} test images', *told])
    lines = [f'Ours ({protocol}), percent:', text_table(('', 'metric', 'value', 'change'), rows)]
    quoted = PUBLISHED.get((args.name, args.model), [])
    lines += ['', 'Published, not reproduced here, comparable only under the same protocol:']
    lines += [f'- {source}: {numbers}' for source, numbers in quoted] or ['- nothing known']
    return '\n'.join(lines)


def main() -> int:
    args = parse_args()
    check_at_least(1, most=1024, processes=args.processes)
    for seed in args.seeds:
        check_seed(seed)
    if not Path(args.root).is_dir():
        raise FileNotFoundError(f'{args.root}: there is no such folder')
    if not SETS[args.name].trains and not (args.start and Path(args.start).is_file()):
        raise ConfigError(f'{args.name} is only tested: pass the weights with --start FILE')
    work = Path(args.work_dir or f'work_dirs/{args.name}_{args.model}')
    table = work / 'reproduce.txt'
    check_outputs(work / 'check.json', table)
    with quiet_hosts('', False):
        steps = list(steps_of(args, work))
    # The comparison always: with --resume it measures what is new.
    open_steps = [step for step in steps if not step.done.exists() or step is steps[-1]]
    if args.dry_run:
        rows = [
            (step.name, 'done' if step.done.exists() else f'{step.hours:.1f} h',
             f'{step.gigabytes:.2f} GB', ' '.join(step.command[1:]))
            for step in steps
        ]  # fmt: skip
        print(text_table(('step', 'time', 'disk', 'command'), rows))
        hours, disk = (sum(getattr(s, n) for s in open_steps) for n in ('hours', 'gigabytes'))
        print(f'to do: about {hours:.0f} hours and {disk:.1f} GB; guessed, unless measured before')
        return 0
    for step in open_steps:
        print(f'== {step.name}: {" ".join(step.command[1:])}', flush=True)
        code = subprocess.run(step.command).returncode
        if code or not step.done.exists():
            step.done.unlink(missing_ok=True) if step.name == 'check' else None
            print(f'error: {step.name} ended with code {code}; see above', file=sys.stderr)
            return code or 2
    text = tell(args, work)
    write_atomically(table, f'{text}\n{MARK}\n')
    print(text)
    return 0


if __name__ == '__main__':
    run(main)
