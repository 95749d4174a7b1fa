"""Tune the adaptive stage to a frozen network, from photographs by day; labels are optional.

    sci-plugins tune CONFIG CHECKPOINT --images PHOTOS --out adaptive.pth
    sci-plugins tune CONFIG CHECKPOINT --images PHOTOS --as-they-are DUSK --out adaptive.pth
    sci-plugins tune CONFIG CHECKPOINT --task-loss --out adaptive.pth   # with labels
    sci-plugins tune pixels --images PHOTOS --out adaptive.pth   # for no network in particular
    sci-plugins compare CONFIG CHECKPOINT --variants none adaptive/adaptive.pth

Any mmdet detector or mmseg segmentor. The network on the untouched photograph teaches the stage
that shows it a darkened one; with --task-loss, its own training loss on the labelled images of the
config's train_dataloader. Writes the weights, a picture beside them (adaptive_progress.jpg),
and a table of light, noise and JPEG: where the stage is worse than the image as it is, the weights
are not called safe, and the exit code is 1. An interrupted run goes on with --resume.
"""

import argparse
import sys
from typing import Any

from sci_plugins.errors import ConfigError
from sci_plugins.utils.cli import HelpFormatter, add_device_argument, run
from sci_plugins.utils.files import check_outputs

PIXELS, CROP_SIZE = 'pixels', 192


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
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
        '--images', nargs='+', default=[], metavar='PATH', help='photographs by day'
    )
    parser.add_argument(
        '--task-loss',
        action='store_true',
        help="in place of --images: the network's training loss on the labelled images of the "
        "config's train_dataloader, as its pipeline gives them",
    )
    parser.add_argument(
        '--as-they-are',
        nargs='+',
        default=[],
        metavar='PATH',
        help='dark photographs that the network knows: it should see the same in them as before',
    )
    parser.add_argument('--out', required=True, metavar='FILE', help='weights file to write')
    _add_options(parser)
    args = parser.parse_args()
    _check(parser, args)
    return args


def _add_options(parser: argparse.ArgumentParser) -> None:
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
        '--crop-size', type=int, metavar='PIXELS', help=f'of --images (default: {CROP_SIZE})'
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
    add_device_argument(parser)
    parser.add_argument('--resume', action='store_true', help='go on with an interrupted run')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='allow a checkpoint that is not plain data (it can execute code)',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace files that no tool of ours wrote'
    )


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if (args.config == PIXELS) != (args.checkpoint is None):
        parser.error(f'expected CONFIG CHECKPOINT, or {PIXELS} alone')
    if args.task_loss == bool(args.images):
        parser.error('expected --images, or --task-loss with a network')
    if args.task_loss:
        given = dict(vars(args), pixels=args.config == PIXELS)
        for name in ('as_they_are', 'also', 'crop_size', 'pixels'):
            if given[name]:
                parser.error(f'--task-loss cannot be combined with {name.replace("_", "-")}')


def _split(text: str) -> tuple[str, str | None]:
    config, _, checkpoint = text.partition(',')
    if (config == PIXELS) == bool(checkpoint):
        raise ConfigError(f'--also must be CONFIG,CHECKPOINT or {PIXELS}, got {text!r}')
    return config, checkpoint or None


def _teacher(config: str, checkpoint: str | None, args: argparse.Namespace) -> Any:
    """A teacher, and what the recipe says about it."""
    from sci_plugins.apis.config import load_config
    from sci_plugins.apis.tune import network_teacher
    from sci_plugins.models.teachers import NetworkTeacher, PixelTeacher, TaskTeacher

    if checkpoint is None:
        return PixelTeacher(), dict(teacher=PIXELS)
    return network_teacher(
        load_config(config),
        checkpoint,
        TaskTeacher if args.task_loss else NetworkTeacher,
        input_order=args.input_order,
        device=args.device,
        trust=args.trust_checkpoint,
    )


def _open(args: argparse.Namespace) -> Any:
    """Images, teacher and recipe."""
    from sci_plugins.apis.config import load_config
    from sci_plugins.apis.tune import labelled_images
    from sci_plugins.models.teachers import JointTeacher

    images = labelled_images(load_config(args.config)) if args.task_loss else args.images
    wanted = [(args.config, args.checkpoint), *map(_split, args.also)]
    found = [_teacher(*each, args) for each in wanted]
    if len(found) == 1:
        return images, *found[0]
    teachers, told = zip(*found, strict=True)
    return images, JointTeacher(teachers), dict(teachers=list(told))


def main() -> int:
    args = parse_args()
    inputs = [each for each in (args.config, args.checkpoint) if each]
    check_outputs(args.out, inputs=inputs, overwrite=args.overwrite)
    from sci_plugins.apis.tune import tune

    images, teacher, recipe = _open(args)
    result = tune(
        images,
        args.out,
        teacher,
        'sci/official/medium' if args.plain else args.enhancer,
        as_they_are=args.as_they_are,
        steps=args.steps,
        batch_size=args.batch_size,
        crop_size=CROP_SIZE if args.crop_size is None else args.crop_size,
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
