"""Put configs and tools into the wheel, where OpenMMLab's packages have theirs."""

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """setuptools' step, which then fills ``sci_plugins/.mim``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # they are found in the source tree
            return
        target = Path(self.build_lib, 'sci_plugins', '.mim')
        shutil.rmtree(target, ignore_errors=True)
        skip = shutil.ignore_patterns('__pycache__', 'benchmark*')
        for name in ('configs', 'tools'):
            shutil.copytree(name, target / name, ignore=skip)
        configs = sorted(
            path for path in Path('configs').rglob('*.py') if '_base_' not in path.parts
        )
        lines = [f'- Name: {path.stem}\n  Config: {path.as_posix()}' for path in configs]
        (target / 'model-index.yml').write_text('Models:\n' + '\n'.join(lines) + '\n')
