"""Arguments of every kind that no tool can use: one line, exit code 2, before work begins."""

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.run_tool import TOOLS, run_tool

pytest.importorskip('mmseg')

TINY = runpy.run_path(str(Path(__file__).parents[1] / 'data' / 'make_tiny.py'))
HUGE = '9' * 20
GATES = 'gated/' * 2000


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: photographs, label maps, a config with its weights, broken configs."""
    root = tmp_path_factory.mktemp('user')
    rng = np.random.default_rng(0)
    for name, pixels in (
        ('photos/0.png', rng.integers(0, 60, (20, 24, 3), dtype=np.uint8)),
        ('maps/0.png', rng.integers(0, 3, (20, 24), dtype=np.uint8)),
    ):
        (root / name).parent.mkdir()
        Image.fromarray(pixels).save(root / name)
    shutil.copytree(root / 'maps', root / 'truth')
    config = TINY['write_segmentation'](root / 'set')
    shutil.copy(TINY['write_checkpoint'](config), root / 'model.pth')
    base = f"_base_ = '{config}'\n"
    (root / 'config.py').write_text(base)
    (root / 'helper.py').write_text('import no_such_package\n')
    (root / 'imports.py').write_text(f"{base}custom_imports = dict(imports=['helper'])\n")
    (root / 'absent.py').write_text(f"{base}custom_imports = dict(imports='no_such_file')\n")
    return root


@pytest.fixture(autouse=True)
def _one_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(TOOLS))  # as Python does for a script
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _files(folder: Path) -> dict[Path, bytes]:
    """All but the logs of MMEngine and what Python compiles."""
    found = [path for path in folder.rglob('*') if path.is_file()]
    own = {'work', '__pycache__'}
    return {path: path.read_bytes() for path in found if own.isdisjoint(path.parts)}


def _refuse(folder: Path, tool: str, *arguments: object) -> str:
    before = _files(folder)
    code, out, err = run_tool(tool, *arguments)
    lines = err.strip().splitlines()
    assert code == 2, err
    assert 'Traceback' not in out + err
    assert [line for line in lines if 'error: ' in line] == lines[-1:]  # not two, and the last
    assert len(lines[-1]) < 1200
    assert _files(folder) == before
    return lines[-1]


def _cases(tool: str, common: str, rows: list[tuple[str | list[str], str]]) -> list[Any]:
    """Parameters: the tool, all its arguments, words of the message."""
    given = [(each.split() if isinstance(each, str) else each, words) for each, words in rows]
    return [
        pytest.param(tool, [*common.split(), *each], words, id=f'{tool} {" ".join(each)[:40]!r}')
        for each, words in given
    ]


DEVICES = [
    ('--device meta', "unknown device 'meta'"),
    ('--device cuda:99', 'device cuda:99: '),
    ('--device cpu:1', 'device cpu:1: the last one is cpu:0'),
    ('--device gpu', "unknown device 'gpu'"),
    ('--device hpu', "cannot use device 'hpu'"),
]
NAMES: list[tuple[str | list[str], str]] = [
    (['--out', ''], 'empty argument after --out'),
    (['--out', ' '], 'empty argument after --out'),
    (['--out', 'a\0b'], r"got 'a\x00b'"),
    (['--out', 'a\nb'], r"got 'a\nb'"),
    (['--out', '\udcff'], r"got '\udcff'"),
    (['--out', 'x' * 300], 'File name too long'),
]
ENHANCERS: list[tuple[str | list[str], str]] = [
    (['--enhancer', name], words)
    for name, words in (
        (GATES, 'at most 8 wrappers, got 2000'),
        (GATES + 'gamma', 'at most 8 wrappers, got 2000'),
        ('SCIEnhancer(type="x")', 'expected NAME(key=value, …)'),
        ('SCIEnhancer(**{})', 'expected NAME(key=value, …)'),
        ('SCIEnhancer(channels=' + '(' * 300 + '3' + ')' * 301, 'expected NAME(key=value, …)'),
        ('SCIEnhancer(channels=1000000)', 'channels must be at most 1024, got 1000000'),
        ('SCIEnhancer(layers=1000000000)', 'layers must be at most 100, got 1000000000'),
        ('SCIEnhancer(channels=True)', 'channels must be an int of at least 1, got True'),
        ('RUASEnhancer(iterations=1000000)', 'iterations must be at most 100, got 1000000'),
        ('RUASEnhancer(channels=0)', 'channels must be at least 1, got 0'),
        ('gamma/nan', 'gamma must be above 0, got nan'),
        ('gamma/1e400', 'gamma must be above 0, got inf'),
        ('sci/~nouser/x', 'weights not found: ~nouser/x'),
        ('sci/' + 'x' * 5000, 'File name too long'),
        ('sci/photos', 'weights not found: photos'),
        ('sci/photos/0.png', 'photos/0.png'),
        ('os.system', 'unknown enhancer type'),
        ('x' * 100_000, 'unknown enhancer'),
    )
]
COUNTS = [
    (f'--{name}-size {value}', f'{name}_size must be at least 5, got {value}')
    for name in ('max', 'crop')
    for value in (-1, 0, 1)
]
RUNS = '--work-dir work --pictures 0 --changed 0'
LOADERS = [
    ('batch_size=0', 'batch_size must be at least 1, got 0'),
    ('batch_size=1.5', 'batch_size must be an int of at least 1, got 1.5'),
    ('num_workers=-1', 'num_workers must be at least 0, got -1'),
    (f'num_workers={HUGE}', 'num_workers must be at most 256'),
]
SETTINGS = [
    ('optim_wrapper.optimizer.lr=nan', 'optimizer: lr must be at least 0, got nan'),
    ('optim_wrapper.optimizer.lr=inf', 'optimizer: lr must be finite, got inf'),
    ('optim_wrapper.optimizer.lr=fast', "lr must be a number of at least 0, got 'fast'"),
    ('optim_wrapper.clip_grad.max_norm=nan', 'max_norm must be at least 0, got nan'),
    ('optim_wrapper.accumulative_counts=0', 'accumulative_counts must be at least 1, got 0'),
    ('train_cfg.max_iters=0', 'max_iters must be at least 1, got 0'),
    ('randomness.seed=-1', 'randomness: seed must be at least 0, got -1'),
    (f'randomness.seed={HUGE}', 'randomness: seed must be at most 4294967295'),
    ('model=1', 'model must be a dict, got 1'),
    ('model.data_preprocessor=1', 'model.data_preprocessor must be a dict, got 1'),
    ('env_cfg=1', 'env_cfg must be a dict, got 1'),
    ('model.decode_head.channels=0', "check the config's channels and num_classes"),
    ('work_dir', 'expected KEY=VALUE'),
    ('train_dataloader.dataset=5', 'train_dataloader.dataset must be a dict, got 5'),
    ('train_dataloader.sampler.type=Nope', 'Nope is not in the mmseg::data sampler registry'),
    ('optim_wrapper.optimizer.type=Nope', 'unknown type of an optimizer'),
    (f'train_dataloader.batch_size={HUGE}', 'batch_size must be at most 2147483647'),
]
CASES = [
    *_cases('enhance', 'photos --out out', [*DEVICES, *ENHANCERS]),
    *_cases('enhance', 'photos --enhancer none', NAMES),
    *_cases(
        'enhance',
        'photos --out out',
        [
            ('--workers 0', 'workers must be at least 1, got 0'),
            ('--workers 1000000', 'workers must be at most 256, got 1000000'),
            ('--tile 0', 'tile must be at least 16, got 0'),
            ('--tile 1.5', 'invalid int value'),
        ],
    ),
    *_cases('finetune', 'photos --out out.pth --steps 1', [*DEVICES[:2], *ENHANCERS[:3], *COUNTS]),
    *_cases(
        'finetune',
        'photos --out out.pth --steps 1',
        [
            ('--seed -1', 'seed must be at least 0, got -1'),
            (f'--seed {2**32}', 'seed must be at most 4294967295, got 4294967296'),
            (f'--seed {HUGE}', f'seed must be at most 4294967295, got {HUGE}'),
            ('--lr nan', 'lr must be a number above 0, at most 1000, got nan'),
            ('--until 0', 'until must be a number above 0, at most 1000, got 0'),
            ('--steps 0', 'steps must be at least 1, got 0'),
            ('--lr 1e39', 'lr must be a number above 0, at most 1000, got 1e+39'),
            ('--out /', 'cannot write /: it is a folder'),
            (f'--steps {HUGE}', 'steps must be at most 10000000'),
            ('--crop-size 21', 'crop_size'),
        ],
    ),
    *_cases(
        'tune',
        'pixels --images photos --out out.pth --enhancer AdaptiveSCIEnhancer()',
        [
            *DEVICES[:2],
            ('--seed -1', 'seed must be at least 0, got -1'),
            ('--steps 0', 'steps must be at least 1, got 0'),
            (f'--steps {HUGE}', 'steps must be at most 10000000'),
            (f'--batch-size {HUGE}', 'batch_size must be at most 1024'),
            ('--crop-size 100000', 'crop_size must be at most 4096'),
            ('--no-harm nan', 'no_harm must be a finite number from 0, got nan'),
            ('', 'at least 2 images, one of them to check with, got 1'),
            ('--also a.py', '--also must be CONFIG,CHECKPOINT or pixels, got'),
            ('--enhancer none', 'needs an enhancer with parameters, got IdentityEnhancer'),
        ],
    ),
    *_cases('explain', 'photos', [*DEVICES[:2], *ENHANCERS[:3], ('--json /', 'cannot write /')]),
    *_cases('explain', '', [('nowhere', 'image folder not found: nowhere')]),
    *_cases('tune', '', [('a.py --images x --out y', 'expected CONFIG CHECKPOINT, or pixels')]),
    *_cases(
        'tune',
        '--out y',
        [
            ('a.py b.pth', 'expected --images, or --task-loss with a network'),
            ('a.py b.pth --task-loss --images x', 'expected --images, or --task-loss'),
            ('pixels --task-loss', '--task-loss cannot be combined with pixels'),
            ('a.py b.pth --task-loss --crop-size 64', 'cannot be combined with crop-size'),
            ('a.py b.pth --task-loss --also pixels', 'cannot be combined with also'),
            ('a.py b.pth --task-loss --as-they-are x', 'cannot be combined with as-they-are'),
        ],
    ),
    *_cases('evaluate_enhancement', 'photos --variants none', [*DEVICES[:2], *COUNTS[:3]]),
    *_cases('evaluate_enhancement', 'photos --variants', [(GATES, 'at most 8 wrappers')]),
    *_cases(
        'evaluate_segmentation',
        'maps truth',
        [
            ('--num-classes 65536', 'num_classes must be at most 1024, got 65536'),
            (f'--num-classes {HUGE}', f'num_classes must be at most 1024, got {HUGE}'),
            ('--num-classes 0', 'num_classes must be at least 1, got 0'),
            ('--num-classes 3 --subset 0', 'got 0'),
            (['--num-classes', '3', '--subset', '9' * 5000], 'the classes are: 0, 1, 2'),
            (['--num-classes', '3', '--json', ''], 'empty argument after --json'),
        ],
    ),
    *_cases('evaluate_darkface', 'maps truth', [(['--split', 'a\0b'], 'control characters')]),
    *_cases(
        'prepare_data',
        '',
        [
            ('acdc maps --workers 0', 'workers must be at least 1, got 0'),
            (f'acdc maps --workers {HUGE}', 'workers must be at most 256'),
            ('darkface maps --size 0x0', 'size must be WIDTHxHEIGHT'),
            (['darkface', 'maps', '--size', '9' * 5000 + 'x1'], 'size must be WIDTHxHEIGHT'),
            ('.. maps', 'data set must be one of'),
            (['acdc', ''], 'empty argument after acdc'),
        ],
    ),
    *_cases(
        'benchmark',
        '',
        [
            ('enhancer --height 0', 'height must be at least 1, got 0'),
            (f'enhancer --threads {HUGE}', 'threads must be at most'),
            (f'darkface --images {HUGE}', 'images must be at most'),
        ],
    ),
    *_cases(
        'reproduce',
        '--model pspnet_r50-d8 --work-dir work',
        [
            (['acdc', 'nowhere'], 'nowhere: there is no such folder'),
            (['darkface', 'photos'], 'there is no config of pspnet_r50-d8 for darkface'),
        ],
    ),
    *_cases('board', '--work-dir work', [('nowhere.yml', 'nowhere.yml'), ('photos', 'photos')]),
    *_cases(
        'compare_predictions',
        '--work-dir work --gt truth',
        [
            ('maps', "expected NAME=PATH with different names, got 'maps'"),
            ('a=maps --num-classes 0', 'num_classes must be at least 1, got 0'),
        ],
    ),
    *_cases('demo', '--out out', [('--images -1', 'images must be at least 1, got -1')]),
    *_cases(
        'compare',
        f'config.py model.pth {RUNS}',
        [
            ('--seed -1', 'seed must be at least 0, got -1'),
            (f'--seed {HUGE}', 'seed must be at most 4294967295'),
            ('--resamples 0', 'resamples must be at least 1, got 0'),
            ('--resamples 1000000000', 'resamples must be at most 100000'),
            ('--margin 0', 'margin must be above 0 and at most 100 points, got 0.0'),
            ('--correction x', "correction must be one of holm, bh, none, got 'x'"),
            ('--darken nan', 'gain must be in (0, 1]'),
            ('--resample blocks:0', 'got \'blocks:0\''),
            (['--resample', 'blocks:' + '9' * 5000], '--resample must be'),
            (['--variants', 'none', GATES], 'at most 8 wrappers'),
            (['--variants', 'none', 'merge(' * 2000], 'merge('),
            (['--variants', 'none', ''], 'empty argument after none'),
            ('--timeout 0', 'timeout must be at least 0.01, got 0'),
            ('--timeout nan', 'timeout must be at least 0.01, got nan'),
        ],
    ),
    *_cases(
        'export',
        '--out out.onnx',
        [
            ([], 'expected CONFIG CHECKPOINT, or --enhancer-only'),
            (['--enhancer-only', '--enhancer', 'nope'], "unknown enhancer 'nope'"),
            (['none.py', 'none.pth'], 'config not found: none.py'),
        ],
    ),
    *_cases(
        'enhance',
        '--out',
        [
            ('out none.mp4', 'a video is written as .mp4, .mkv, .mov, got out'),
            (['out.mp4', 'none.mp4', '--quality', '52'], 'quality must be at most 51, got 52'),
            (['out.mp4', 'rtsp://none.invalid/', '--limit', '0'], 'limit must be at least 1'),
            (['out.mp4', '99', '--seconds', '-1'], 'seconds must be at least 0, got -1'),
            ('out none.png --quality 5', 'unrecognized arguments: --quality 5'),
            ('out none.mp4 --tile 5', 'unrecognized arguments: --tile 5'),
        ],
    ),
    *_cases(
        'video',
        'none.mp4 --out',
        [
            ('out.avi', 'a video is written as .mp4, .mkv, .mov, got out.avi'),
            ('out.mp4', 'No such file'),
            (['out.mp4', '--quality', '52'], 'quality must be at most 51, got 52'),
            (['out.mp4', '--limit', '0'], 'limit must be at least 1, got 0'),
            (['out.mp4', '--temporal', 'no'], "invalid choice: 'no'"),
        ],
    ),
    *_cases(
        'train',
        'config.py --work-dir work --cfg-options',
        [*[(f'train_dataloader.{option}', words) for option, words in LOADERS], *SETTINGS],
    ),
    *_cases(
        'test',
        'config.py model.pth --work-dir work --cfg-options',
        [(f'test_dataloader.{option}', words) for option, words in LOADERS[:3]],
    ),
    *_cases(
        'compare',
        f'config.py model.pth {RUNS} --cfg-options',
        [
            ('test_dataloader.batch_size=0', 'batch_size must be at least 1, got 0'),
            ('test_evaluator.type=Nope', 'Nope is not in the mmseg::metric registry'),
            ('test_cfg.type=Nope', 'Nope is not in the mmseg::loop registry'),
        ],
    ),
    *_cases(
        'train',
        '--work-dir work',
        [
            ('imports.py', "Failed to import helper; No module named 'no_such_package'"),
            ('absent.py', "Failed to import no_such_file; No module named 'no_such_file'"),
            ('photos', 'config not found: photos'),
            (['config.py', '--resume', 'a\0b'], 'control characters'),
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(('tool', 'arguments', 'words'), CASES)
def test_what_no_tool_can_use(folder: Path, tool: str, arguments: list[str], words: str) -> None:
    assert words in _refuse(folder, tool, *arguments)


def test_every_tool_is_tried() -> None:
    tried = {case.values[0] for case in CASES}
    assert tried == {path.stem for path in TOOLS.glob('*.py')}
