"""Write a model with its enhancer as one ONNX file: uint8 images in, raw outputs out.

    sci-plugins export CONFIG CHECKPOINT --enhancer sci/official/medium --out model.onnx
    sci-plugins export --enhancer-only --enhancer sci/official/medium --out enhancer.onnx

The file is compared with PyTorch at two sizes and two batch sizes. Guide: docs/deploy.md.
"""

import argparse
from typing import Any

from sci_plugins.errors import ConfigError
from sci_plugins.utils.cli import HelpFormatter, quiet_hosts, run
from sci_plugins.utils.files import check_outputs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument('config', nargs='?', help="config file, or a host's own: mmdet::NAME")
    parser.add_argument('checkpoint', nargs='?', help='weights of the model')
    parser.add_argument('--out', required=True, metavar='FILE', help='such as model.onnx')
    parser.add_argument(
        '--enhancer',
        metavar='NAME',
        help="as in compare; none: without one (default: the config's own)",
    )
    parser.add_argument('--enhancer-only', action='store_true', help='in front of any other model')
    parser.add_argument('--input-order', choices=['bgr', 'rgb'], default='bgr')
    parser.add_argument(
        '--size',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='traced size, which counts where the network fixes it (default: small)',
    )
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow one that can execute code'
    )
    args = parser.parse_args()
    if args.enhancer_only == bool(args.checkpoint):
        parser.error('expected CONFIG CHECKPOINT, or --enhancer-only')
    return args


def main() -> None:
    args = parse_args()
    inputs = [each for each in (args.config, args.checkpoint) if each]
    check_outputs(args.out, inputs=inputs, overwrite=args.overwrite)
    with quiet_hosts(''):
        lines = _export(args)
    print('\n'.join(lines))


def _export(args: argparse.Namespace) -> list[str]:
    from sci_plugins.apis.enhance import DEFAULT_ENHANCER
    from sci_plugins.deploy import about_files, deployable_enhancer, export_onnx

    module: Any
    if args.enhancer_only:
        enhancer = args.enhancer or DEFAULT_ENHANCER
        module = deployable_enhancer(enhancer, args.input_order)
        about = about_files(enhancer)
    else:
        module, about = _deployable(args)
    return export_onnx(module, args.out, size=args.size and tuple(args.size), about=about)


def _deployable(args: argparse.Namespace) -> Any:
    from sci_plugins.apis.attach import attach, detach
    from sci_plugins.apis.compare.contenders import build_model, class_names
    from sci_plugins.apis.config import load_config, require
    from sci_plugins.deploy import Deployable, about_files

    cfg = load_config(args.config)
    require(cfg, 'model')
    if not cfg.get('test_pipeline') and not cfg.get('test_dataloader'):
        raise ConfigError(f'config {args.config} has no test pipeline: it tells no order of images')
    model = build_model(cfg, args.checkpoint, args.trust_checkpoint)
    enhancer = args.enhancer or (cfg.model.get('data_preprocessor') or {}).get('enhancer')
    if args.enhancer:
        detach(model)
        if args.enhancer != 'none':
            attach(model, args.enhancer, input_order=args.input_order)
    classes = class_names(cfg)
    about = about_files(None if enhancer == 'none' else enhancer, args.checkpoint)
    return Deployable(model), about | (dict(classes=list(classes)) if classes else {})


if __name__ == '__main__':
    run(main)
