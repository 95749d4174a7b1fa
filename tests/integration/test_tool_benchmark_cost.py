"""The table of costs, at the command line."""

import json
from pathlib import Path

from tests.run_tool import run_tool


def test_cost_as_a_user_does(tmp_path: Path) -> None:
    out = tmp_path / 'cost.json'
    size = ('--height', 12, '--width', 18, '--threads', 1, '--runs', 1)
    code, text, errors = run_tool('benchmark', 'cost', *size, '--json', out)
    assert code == 0, errors
    names = [line.split()[0] for line in text.splitlines()[3:]]
    assert names == list(json.loads(out.read_text())['costs'])
    assert {'3-3', '3-16-16-3', 'RUAS-3'} < set(names)
