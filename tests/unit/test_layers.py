"""The house: who may import whom, as docs/architecture.md draws it, no circle, and its limits."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / 'sci_plugins'
# Each may import what stands before it, and itself.
LAYERS = (
    {'errors', 'version', 'weights'},
    {'compat'},
    {'registry', 'utils'},
    {'functional'},
    {'models'},
    {'datasets'},
    {'evaluation'},
    {'visualization'},
    {'engine'},
    {'apis'},
    {'demo', 'deploy', 'video'},
    {'__main__'},
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(PACKAGE.rglob('*.py'))
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
    for path in FILES
}


def imported(path: Path, *, late: bool = True) -> Iterator[str]:
    """Modules of the package that a file imports, in any form of the statement.

    Args:
        path: the file.
        late: also those imported inside functions, which cannot make a circle.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            longer = [f'{base}.{alias.name}' for alias in node.names]
            # `from package import module` takes the module, else a name of the package.
            names = [name if name in MODULES else base for name in longer]
        else:
            continue
        yield from (name for name in names if name.split('.')[0] == 'sci_plugins')


def layer_of(module: str) -> int:
    """Place in the order; the package itself, which offers all, is above everything."""
    parts = module.split('.')
    return LEVEL[parts[1]] if len(parts) > 1 else len(LAYERS)


def test_every_folder_has_its_place() -> None:
    found = {path.relative_to(PACKAGE).parts[0].removesuffix('.py') for path in FILES}
    assert found - {'__init__'} == set(LEVEL)


@pytest.mark.parametrize('part', sorted(LEVEL))
def test_nothing_is_imported_from_above(part: str) -> None:
    wrong = [
        f'{module} imports {name}'
        for module, path in MODULES.items()
        if module.split('.')[1:2] == [part]
        for name in imported(path)
        if name.split('.')[1:2] != [part] and layer_of(name) >= LEVEL[part]
    ]
    assert wrong == []


def test_no_circle() -> None:
    graph = {
        module: {name for name in imported(path, late=False) if name != module}
        for module, path in MODULES.items()
    }
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f'a circle of imports: {" -> ".join(error.args[1])}')
    assert len(order) == len(MODULES)


@pytest.mark.parametrize(
    ('statement', 'module'),
    [
        ('import sci_plugins', 'sci_plugins'),
        ('from sci_plugins import registry', 'sci_plugins.registry'),
        ('from sci_plugins import SCIEnhancer', 'sci_plugins'),
        ('from sci_plugins.utils import files', 'sci_plugins.utils.files'),
        ('from sci_plugins.utils.files import write_atomically', 'sci_plugins.utils.files'),
        ('def f():\n    import sci_plugins.errors', 'sci_plugins.errors'),
    ],
)
def test_every_form_of_an_import_is_seen(statement: str, module: str, tmp_path: Path) -> None:
    path = tmp_path / 'example.py'
    path.write_text(statement)
    assert list(imported(path)) == [module]
    if statement.startswith('def'):
        assert not list(imported(path, late=False))


def test_files_are_of_one_subject_and_not_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in FILES if (n := _lines(p)) > 500}
    assert long == {}


def test_the_house_stays_small() -> None:
    """Limits that a new feature may have to be paid for by, with something simpler elsewhere."""
    lines = [_lines(path) for path in FILES if path.read_text().strip()]
    assert len(lines) <= 170
    assert sum(lines) <= 28_000
    assert sum(each <= 100 for each in lines) <= 0.3 * len(lines)


def test_functions_are_short() -> None:
    """Without their docstrings, at most 60 lines; with them, half of them at most 8."""
    whole, bare = [], {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                whole.append(_height(node))
                told = _height(node.body[0]) if ast.get_docstring(node) else 0
                bare[f'{path.name}: {node.name}'] = whole[-1] - told
    assert {name: height for name, height in bare.items() if height > 60} == {}
    assert median(whole) <= 8


def _height(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())
