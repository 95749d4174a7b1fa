"""Who may import whom: the order that docs/architecture.md draws."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'sci_plugins'
# Each may import what stands before it, and itself.
LAYERS = (
    {'errors'},
    {'compat', 'registry', 'utils'},
    {'functional'},
    {'models'},
    {'datasets'},
    {'evaluation'},
    {'visualization'},
    {'engine'},
    {'apis'},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob('*.py'))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names = (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
        if isinstance(node, ast.ImportFrom):
            names = [node.module or '']
        for name in names:
            if name.startswith('sci_plugins.'):
                yield name.split('.')[1]


def test_every_folder_has_its_place() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix('.py') for path in FILES}
    assert found - {'__init__', 'weights'} == set(LEVEL)


@pytest.mark.parametrize('part', sorted(LEVEL))
def test_nothing_is_imported_from_above(part: str) -> None:
    wrong = [
        f'{path.relative_to(ROOT)} imports {name}'
        for path in FILES
        if path.relative_to(PACKAGE).parts[0].removesuffix('.py') == part
        for name in _imported(path)
        if name != part and LEVEL[name] >= LEVEL[part]
    ]
    assert wrong == []
