"""The figures of architecture.md: files of the package that take part in what a user does, and
the size of the package.

    python docs/count_walks.py          # from the root of the source tree
    python docs/count_walks.py --names

Counts the files in which a function runs, not those that are only imported: each walk is
done once to import and prepare, and counted the second time.
"""

import argparse
import inspect
import os
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = f'{ROOT / "sci_plugins"}{os.sep}'


def files_of(walk: Callable[[], object]) -> list[str]:
    """Python files of the package in which a function runs."""
    walk()
    seen: set[str] = set()

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        # Bodies of modules and classes are no functions: they lack this flag.
        is_function = bool(code.co_flags & inspect.CO_OPTIMIZED)
        if event == 'call' and is_function and code.co_filename.startswith(PACKAGE):
            seen.add(code.co_filename.removeprefix(PACKAGE))

    sys.setprofile(watch)
    try:
        walk()
    finally:
        sys.setprofile(None)
    return sorted(name for name in seen if name.endswith('.py'))


def image() -> Callable[[], object]:
    """One image through a data preprocessor with SCI in front of a detector."""
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.registry import MODELS, init_default_scope

    import sci_plugins  # noqa: F401  # its ops stand in where mmcv has none

    init_default_scope('mmdet')
    enhancer = dict(type='sci_plugins.SCIEnhancer')
    preprocessor = MODELS.build(
        dict(type='sci_plugins.EnhancedDetDataPreprocessor', enhancer=enhancer)
    )
    sample = DetDataSample(metainfo=dict(img_shape=(32, 32), ori_shape=(32, 32)))
    pixels = torch.randint(0, 80, (3, 32, 32), dtype=torch.uint8)
    return lambda: preprocessor(dict(inputs=[pixels], data_samples=[sample]))


def prediction() -> Callable[[], object]:
    """From a detector's predictions to verdict, tables and report: ``compare.py``."""
    from sci_plugins.apis.compare import compare
    from sci_plugins.apis.config import load_config

    tiny = runpy.run_path(str(ROOT / 'tests' / 'data' / 'make_tiny.py'))
    folder = Path(tempfile.mkdtemp())
    config = tiny['write_detection'](folder)
    options: dict[str, Any] = dict(work_dir=folder / 'work', resamples=20)
    cfg, checkpoint = load_config(str(config)), str(tiny['write_checkpoint'](config))
    return lambda: compare(cfg, checkpoint, ['none', 'gamma'], **options)


def training() -> Callable[[], object]:
    """SCI's training with its hooks: ``train.py``."""
    from tests.tiny_training import make_config, train

    folder = Path(tempfile.mkdtemp())
    return lambda: train(make_config(folder, **{'train_cfg.max_epochs': 1}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--names', action='store_true', help='list the files')
    names = parser.parse_args().names
    sys.path.insert(0, str(ROOT))
    texts = [path.read_text() for path in Path(PACKAGE).rglob('*.py')]
    lines = [len(text.splitlines()) for text in texts if text]
    print(f'the package: {len(lines)} modules with content, {sum(lines):,} lines')
    for prepare in (image, prediction, training):
        files = files_of(prepare())
        print(f'{prepare.__name__}: {len(files)} files {" ".join(files) if names else ""}')


if __name__ == '__main__':
    main()
