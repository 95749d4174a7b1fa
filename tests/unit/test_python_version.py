"""Nothing that only a newer Python than the oldest supported one has."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Names of the standard library that came with Python 3.11 or later.
NEWER = {
    'typing': {'Self', 'Never', 'LiteralString', 'assert_never', 'Unpack', 'override', 'Required'},
    'enum': {'StrEnum', 'verify', 'member', 'nonmember'},
    'datetime': {'UTC'},
    'contextlib': {'chdir'},
    'itertools': {'batched'},
}


@pytest.mark.parametrize('folder', ['sci_plugins', 'tools'])
def test_the_oldest_python_reads_every_file(folder: str) -> None:
    found = []
    for path in (ROOT / folder).rglob('*.py'):
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                newer = NEWER.get(node.module or '', set()) & {each.name for each in node.names}
                found += [f'{path.name}: {node.module}.{name}' for name in newer]
            names = [
                each.name for each in getattr(node, 'names', []) if isinstance(node, ast.Import)
            ]
            found += [f'{path.name}: tomllib' for name in names if name == 'tomllib']
    assert found == []
    assert sys.version_info >= (3, 10)
