"""The code on the pages for enhancers and models from outside, run as it stands there."""

import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import sci_plugins
from sci_plugins import EnhancementStage
from tests.run_tool import run_tool

ROOT = Path(__file__).parents[2]
TINY = runpy.run_path(str(ROOT / 'tests' / 'data' / 'make_tiny.py'))


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    text = (ROOT / 'docs' / page).read_text()
    return re.findall(r'^```(\w+)\n(.*?)^```$', text, flags=re.M | re.S)


@pytest.fixture()
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a user works: photographs, a config and a checkpoint of a detector."""
    rng = np.random.default_rng(0)
    (tmp_path / 'PHOTOS').mkdir()
    for name in 'ab':
        pixels = rng.integers(0, 40, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / 'PHOTOS' / f'{name}.png')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [each for each in sys.path if each not in ('', str(ROOT))])
    yield tmp_path
    sys.modules.pop('my_file', None)


def _run(command: str, names: dict[str, str]) -> str:
    python, tool, *arguments = shlex.split(command)
    assert python == 'python'
    code, out, err = run_tool(Path(tool).stem, *(names.get(each, each) for each in arguments))
    assert code == 0, f'{command}: {err}'
    return out


def test_an_enhancer_of_one_s_own(folder: Path) -> None:
    pytest.importorskip('mmdet')
    config = TINY['write_detection'](folder)
    names = dict(CONFIG=str(config), CHECKPOINT=str(TINY['write_checkpoint'](config)))
    space: dict[str, Any] = {}
    told = ''
    for language, text in blocks('own_enhancer.md'):
        if language == 'bash':
            told += ''.join(_run(line, names) for line in text.splitlines())
        elif name := re.match(r'# (\w+\.py)\n', text):
            (folder / name[1]).write_text(text.replace("'CONFIG'", repr(names['CONFIG'])))
        else:
            exec(text, space)
    assert 'my_file.MyEnhancer(gain=3)' in told
    assert "my_file.MyEnhancer(weights='mine.pth')" in told
    assert sorted(path.name for path in (folder / 'BRIGHT').glob('*.png')) == ['a.png', 'b.png']
    assert (folder / 'work' / 'mine.pth').is_file()
    enhancer, again = space['enhancer'].eval(), space['again'].eval()
    assert type(again) is type(enhancer)
    assert again.gain == 3
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(again(image), enhancer(image))


def test_any_model() -> None:
    pytest.importorskip('torchvision')
    space: dict[str, Any] = {}
    for language, text in blocks('any_model.md'):
        assert language == 'python'
        exec(text, space)
        if 'boxes' in text and 'losses' not in text:
            assert len(space['boxes']) == 2
        if 'losses' in text:
            assert _learns(space['stage'])
        if 'scores' in text:
            assert space['scores'].shape == (2, 19, 128, 160)
    assert _learns(space['model'][0])


def _learns(stage: EnhancementStage) -> bool:
    gradients = [parameter.grad for parameter in stage.enhancer.parameters()]
    return any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_a_module_beside_the_tools_is_found_from_another_process(folder: Path) -> None:
    from tests.run_tool import run_tool_process

    _, text = blocks('own_enhancer.md')[0]
    (folder / 'my_file.py').write_text(text)
    command = ('enhance', 'PHOTOS', '--out', 'out', '--enhancer')
    code, _, err = run_tool_process(*command, 'my_file.MyEnhancer(gain=3)')
    assert code == 0, err
    code, _, err = run_tool_process(*command, 'other_file.MyEnhancer(gain=3)')
    assert code == 2
    assert err.startswith("error: unknown enhancer type 'other_file.MyEnhancer'")


def test_what_reliability_names_is_there() -> None:
    text = (ROOT / 'docs' / 'reliability.md').read_text()
    named = set(re.findall(r'`(test_\w+)`', text))
    known = {path.stem for path in (ROOT / 'tests').rglob('test_*.py')}
    assert len(named) > 30
    assert named <= known
    rows = [line for line in text.splitlines() if line.startswith('| ')]
    assert all(line.count('|') == 5 for line in rows)


def test_the_site_has_every_page_and_every_public_name() -> None:
    site = (ROOT / 'mkdocs.yml').read_text()
    docs = ROOT / 'docs'
    pages = [path.relative_to(docs).as_posix() for path in docs.rglob('*.md')]
    assert [page for page in pages if f' {page}\n' not in site] == []
    api = (ROOT / 'docs' / 'api.md').read_text()
    missing = [name for name in sci_plugins.__all__ if f'.{name}\n' not in api]
    assert missing == ['__version__']


def test_the_page_of_configs_is_current() -> None:
    made = runpy.run_path(str(ROOT / 'docs' / 'list_configs.py'))
    text = made['PAGE'].read_text()
    assert text.count('\n| `') > 50
    assert text == made['page'](), 'run python docs/list_configs.py'


@pytest.mark.parametrize('name', ['README', 'get_started', 'compare'])
def test_the_chinese_pages_have_the_same_code_and_tables(name: str) -> None:
    english, chinese = f'docs/{name}.md', f'docs/zh_cn/{name}.md'
    if name == 'README':
        english, chinese = 'README.md', 'README_zh-CN.md'
    found = [_code((ROOT / page).read_text()) for page in (english, chinese)]
    assert len(found[0]) > 15
    assert found[0] == found[1]


def _code(text: str) -> list[str]:
    """Lines of code, without comments and their words, and numbers of tables."""
    text = text.split('## What is where')[0].split('## 文档')[0]
    fenced = '\n'.join(re.findall(r'^```\w*\n(.*?)^```', text, flags=re.M | re.S)).splitlines()
    indented = [line for line in text.splitlines() if line.startswith('    ')]
    code = [re.sub(r'(#|""").*', '', line).strip() for line in fenced + indented]
    rows = [
        ' '.join(re.findall(r'`[^`]+`|[−+\d.]{3,}', line))
        for line in text.splitlines()
        if '|' in line
    ]
    return [line for line in code if line] + [row for row in rows if row]


def test_the_readme_is_short_and_names_the_error_that_many_meet() -> None:
    text = (ROOT / 'README.md').read_text()
    assert len(text.splitlines()) < 120
    heads = ['![', '## Install', "No module named 'mmcv._ext'", '## Two keys', '## Does it help?']
    places = [text.index(head) for head in [*heads, '## What it supports']]
    assert places == sorted(places)
