"""Measure on this machine what enhancement and its evaluation cost.

    python tools/benchmark.py enhancer
    python tools/benchmark.py stage --json stage.json
    python tools/benchmark.py files PHOTOS
    python tools/benchmark.py cost
    python tools/benchmark.py train --compile
    python tools/benchmark.py segmentation
    python tools/benchmark.py darkface
    OMP_NUM_THREADS=1 python tools/benchmark.py bootstrap
    python tools/benchmark.py comparison CONFIG CHECKPOINT --darken 0.05 --repeat 5
    python tools/benchmark.py export --threads 1 --only SCI
    python tools/benchmark.py video FOLDER --variants none adaptive gain:adaptive

enhancer: the fast path of SCIEnhancer against a plain implementation.
files: images/s of a folder, from file to file, against the authors' test script.
stage: uint8 image to normalised batch, and its share of RetinaNet-R50's test step.
train: a training step of SCI against a plain implementation: time and memory.
cost: parameters, multiply-accumulates and time of SCI's chains and of RUASEnhancer.
segmentation: images/s of decoding, test pipeline, enhancer and network at 1920x1080.
darkface: DARK FACE's official AP, with ten times the predictions, and its bootstrap.
bootstrap: the intervals of compare.py for one variant, against recomputing each resample.
comparison: where the CPU time of compare.py goes, part by part.
export: an exported file in ONNX Runtime and OpenVINO, against PyTorch's own path.
video: flicker and stability of predictions on frames in light that changes.
"""

import argparse
from pathlib import Path
from typing import Any

from sci_plugins.utils.cli import HelpFormatter, add_output_arguments, run
from sci_plugins.utils.files import check_outputs, write_json

_CONFIGS = Path(__file__).parents[1] / 'configs'
_SEGMENTOR = _CONFIGS / 'night/pspnet_r50-d8_20k_acdc-night.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    enhancer = commands.add_parser('enhancer', help='fast path against plain SCI')
    _add_common_arguments(enhancer, height=720, width=1080, runs=30)
    enhancer.add_argument('--batch', type=int, default=1, help='images per call')
    _add_files(commands.add_parser('files', help="a folder of images, against the authors' way"))
    stage = commands.add_parser(
        'stage', help='the whole preprocessing and its share of a test step'
    )
    _add_common_arguments(stage, height=800, width=1333, runs=7)
    cost = commands.add_parser('cost', help='parameters, operations, time by width')
    _add_size_arguments(cost, height=400, width=600, runs=30)
    train = commands.add_parser('train', help="SCI's training step against a plain one")
    _add_common_arguments(train, height=400, width=600, runs=5)
    train.add_argument('--batch', type=int, default=1, help='images per step')
    train.add_argument('--compile', action='store_true', help='also measure torch.compile')
    _add_segmentation(commands.add_parser('segmentation', help='data loading against the network'))
    _add_darkface(commands.add_parser('darkface', help='the official AP and its bootstrap'))
    _add_bootstrap(commands.add_parser('bootstrap', help='intervals of detection and segmentation'))
    _add_comparison(commands.add_parser('comparison', help='parts of compare.py'))
    _add_export(commands.add_parser('export', help='ONNX Runtime, OpenVINO and PyTorch'))
    _add_video(commands.add_parser('video', help='flicker, and predictions that come and go'))
    return parser.parse_args()


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('folder', help='with images')
    parser.add_argument('--number', type=int, default=100, help='images to take, spread over all')
    parser.add_argument('--runs', type=int, default=3, help='measured rounds')
    parser.add_argument('--weights', default='sci_plugins/lol', help='as in SCIEnhancer')
    add_output_arguments(parser)


def _add_video(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('folder', help='frames of one recording')
    parser.add_argument(
        '--variants',
        nargs='+',
        default=['none', 'exposure/0.4', 'gain:exposure/0.4', 'adaptive', 'gain:adaptive'],
        help='enhancers; gain:NAME and full:NAME are smoothed along time',
    )
    parser.add_argument(
        '--light', default='tunnel', help='as-is, steady, swell, tunnel or headlights'
    )
    parser.add_argument('--fps', type=float, default=15.0, help='frames in a second')
    parser.add_argument('--noise', type=float, default=0.002, help='read noise')
    parser.add_argument('--limit', type=int, default=101, help='most frames')
    parser.add_argument(
        '--model', nargs=2, default=(), metavar=('CONFIG', 'CHECKPOINT'), help='of mmdet or mmseg'
    )
    parser.add_argument('--figure', metavar='FILE', help='brightness over time, as a picture')
    add_output_arguments(parser)


def _add_comparison(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('config', help='of mmdet or mmseg')
    parser.add_argument('checkpoint', help="'none' for random weights")
    parser.add_argument(
        '--variants', nargs='+', default=['none', 'sci/official/medium'], help='enhancers'
    )
    parser.add_argument('--darken', default='none', help='as in compare.py')
    parser.add_argument(
        '--repeat', type=int, default=1, help='list the images of a COCO-style set so many times'
    )
    add_output_arguments(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--runs', type=int, default=20, help='measured rounds')
    parser.add_argument(
        '--only', default='', metavar='PART', help='cases whose name contains it, such as YOLOX'
    )
    add_output_arguments(parser)


def _add_darkface(parser: argparse.ArgumentParser) -> None:
    _add_face_arguments(parser, runs=5)


def _add_bootstrap(parser: argparse.ArgumentParser) -> None:
    _add_face_arguments(parser, runs=3)
    parser.add_argument('--streets', type=int, default=106, help='street images')
    parser.add_argument('--classes', type=int, default=19, help='classes of the streets')


def _add_face_arguments(parser: argparse.ArgumentParser, runs: int) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('--images', type=int, default=600, help='images with faces')
    parser.add_argument('--predictions', type=int, default=300, help='per such image')
    parser.add_argument('--resamples', type=int, default=1000, help='of the bootstrap')
    parser.add_argument('--runs', type=int, default=runs, help='measured rounds')
    add_output_arguments(parser)


def _add_segmentation(parser: argparse.ArgumentParser) -> None:
    _add_common_arguments(parser, height=1080, width=1920, runs=5)
    parser.add_argument('--config', default=str(_SEGMENTOR), help='config of a segmentor')
    parser.add_argument('--image', help='a photograph; default: a drawn street')
    parser.add_argument('--steps', type=int, default=1, help='measured test steps')


def _add_common_arguments(
    parser: argparse.ArgumentParser, height: int, width: int, runs: int
) -> None:
    _add_size_arguments(parser, height, width, runs)
    parser.add_argument('--weights', help='as in SCIEnhancer(weights=...); default: random')


def _add_size_arguments(
    parser: argparse.ArgumentParser, height: int, width: int, runs: int
) -> None:
    parser.formatter_class = HelpFormatter
    parser.add_argument('--height', type=int, default=height, help='pixels')
    parser.add_argument('--width', type=int, default=width, help='pixels')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--runs', type=int, default=runs, help='measured rounds')
    add_output_arguments(parser)


def main() -> None:
    args = parse_args()
    options: dict[str, Any] = vars(args)
    command, json_path = options.pop('command'), options.pop('json')
    check_outputs(json_path, overwrite=options.pop('overwrite'))
    # Imported late: --help and a mistyped option need not wait for PyTorch.
    import benchmarks

    calls: dict[str, Any] = {
        'bootstrap': benchmarks.benchmark_bootstrap,
        'comparison': benchmarks.benchmark_comparison,
        'cost': benchmarks.benchmark_cost,
        'darkface': benchmarks.benchmark_darkface,
        'enhancer': benchmarks.benchmark_enhancer,
        'export': benchmarks.benchmark_export,
        'files': benchmarks.benchmark_files,
        'segmentation': benchmarks.benchmark_segmentation,
        'stage': benchmarks.benchmark_stage,
        'train': benchmarks.benchmark_train,
        'video': benchmarks.benchmark_video,
    }
    result = calls[command](**options)
    print(result.to_text())
    if json_path:
        write_json(json_path, result.to_json())


if __name__ == '__main__':
    run(main)
