"""`--help` waits for nothing that it does not need; counted, not timed."""

import subprocess
import sys
from pathlib import Path

TOOLS = sorted((Path(__file__).parents[3] / 'tools').glob('*.py'))
SCRIPT = """
import contextlib, io, runpy, sys
import sci_plugins
print('import', len(sys.modules), 'torch' in sys.modules)
for tool in sys.argv[1:]:
    sys.argv = [tool, '--help']
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        runpy.run_path(tool, run_name='__main__')
    heavy = {'torch', 'mmengine', 'mmcv', 'cv2', 'llvmlite', 'scipy', 'PIL'} & set(sys.modules)
    print(tool, len(sys.modules), bool(heavy) or 'usage' not in out.getvalue())
"""


def test_help_imports_neither_torch_nor_the_hosts() -> None:
    command = [sys.executable, '-c', SCRIPT, *map(str, TOOLS)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == 1 + len(TOOLS) > 10
    assert [line for line in lines if line.endswith('True')] == []
    assert int(lines[0].split()[1]) < 150
    assert int(lines[-1].split()[1]) < 500
