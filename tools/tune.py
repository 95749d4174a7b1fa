"""Tune the adaptive stage to a network: frozen, without labels, from photographs by day.

    python tools/tune.py CONFIG CHECKPOINT --images PHOTOS --out adaptive.pth
    python tools/tune.py CONFIG CHECKPOINT --images PHOTOS --as-they-are DUSK --out adaptive.pth
    python tools/tune.py pixels --images PHOTOS --out adaptive.pth   # for no network in particular
    python tools/compare.py CONFIG CHECKPOINT --variants none adaptive/adaptive.pth

Any mmdet detector or mmseg segmentor. The network on the untouched photograph teaches the stage
that shows it a darkened one. Writes the weights, a picture beside them (adaptive_progress.jpg),
and a table of light and noise: where the stage is worse than the image as it is, the weights are
not called safe, and the exit code is 1. An interrupted run goes on with --resume.
"""

import argparse
import sys
from typing import Any

from sci_plugins.apis.config import load_config
from sci_plugins.errors import ConfigError
from sci_plugins.utils.cli import run
from sci_plugins.utils.files import check_outputs

PIXELS = 'pixels'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help=f"config file, a host's own (mmdet::NAME), or {PIXELS!r}")
    parser.add_argument('checkpoint', nargs='?', help='checkpoint of the network')
    parser.add_argument(
        '--also',
        nargs='+',
        default=[],
        metavar='CONFIG,CHECKPOINT',
        help=f'more networks, or {PIXELS}: a stage for all of them',
    )
    parser.add_argument(
        '--images', nargs='+', required=True, metavar='PATH', help='photographs by day'
    )
    parser.add_argument(
        '--as-they-are',
        nargs='+',
        default=[],
        metavar='PATH',
        help='dark photographs that the network knows: it should see the same in them as before',
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='weights file to write')
    parser.add_argument(
        '--enhancer', default='adaptive', help='where to start (default: %(default)s)'
    )
    parser.add_argument(
        '--plain',
        action='store_true',
        help="tune SCI's own parameters alone, to see what the rest is worth: the same as "
        '--enhancer sci/official/medium',
    )
    parser.add_argument('--steps', type=int, default=1000, help='at most (default: %(default)s)')
    parser.add_argument('--batch-size', type=int, default=6, help='default: %(default)s')
    parser.add_argument(
        '--crop-size', type=int, default=192, metavar='PIXELS', help='default: %(default)s'
    )
    parser.add_argument(
        '--no-harm',
        type=float,
        default=2.0,
        metavar='WEIGHT',
        help='how much more it costs to be worse than the image as it is (default: %(default)s)',
    )
    parser.add_argument(
        '--input-order',
        choices=['bgr', 'rgb'],
        default='bgr',
        help="channel order of the config's images (default: %(default)s)",
    )
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument('--resume', action='store_true', help='go on with an interrupted run')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='allow a checkpoint that is not plain data (it can execute code)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that no tool of ours wrote'
    )
    args = parser.parse_args()
    if (args.config == PIXELS) != (args.checkpoint is None):
        parser.error(f'expected CONFIG CHECKPOINT, or {PIXELS} alone')
    return args


def _split(text: str) -> tuple[str, str | None]:
    config, _, checkpoint = text.partition(',')
    if (config == PIXELS) == bool(checkpoint):
        raise ConfigError(f'--also must be CONFIG,CHECKPOINT or {PIXELS}, got {text!r}')
    return config, checkpoint or None


def _teacher(config: str, checkpoint: str | None, args: argparse.Namespace) -> Any:
    """A teacher, and what the recipe says about it."""
    from sci_plugins.apis.tune import network_teacher
    from sci_plugins.models.teachers import PixelTeacher

    if checkpoint is None:
        return PixelTeacher(), dict(teacher=PIXELS)
    return network_teacher(
        load_config(config),
        checkpoint,
        input_order=args.input_order,
        device=args.device,
        trust=args.trust_checkpoint,
    )


def main() -> int:
    args = parse_args()
    inputs = [each for each in (args.config, args.checkpoint) if each]
    check_outputs(args.out, inputs=inputs, overwrite=args.overwrite)
    from sci_plugins.apis.tune import tune
    from sci_plugins.models.teachers import JointTeacher

    wanted = [(args.config, args.checkpoint), *map(_split, args.also)]
    found = [_teacher(*each, args) for each in wanted]
    teacher, recipe = found[0]
    if args.also:
        teacher, recipe = (
            JointTeacher([each for each, _ in found]),
            dict(teachers=[about for _, about in found]),
        )
    result = tune(
        args.images,
        args.out,
        teacher,
        'sci/official/medium' if args.plain else args.enhancer,
        as_they_are=args.as_they_are,
        steps=args.steps,
        batch_size=args.batch_size,
        crop_size=args.crop_size,
        no_harm=args.no_harm,
        seed=args.seed,
        device=args.device,
        progress=sys.stderr.isatty(),
        resume=args.resume,
        overwrite=args.overwrite,
        recipe=recipe,
    )
    for cause in result.skipped.values():
        print(f'skipped: {cause}', file=sys.stderr)
    print(result.table())
    print(f'{args.out}: {len(result.losses)} steps, {result.verdict}')
    return 0 if result.is_safe else 1


if __name__ == '__main__':
    run(main)
