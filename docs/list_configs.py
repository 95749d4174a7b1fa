"""The page configs.md: every config with one line, from the configs themselves.

python docs/list_configs.py          # from the root of the source tree
"""

from itertools import groupby
from pathlib import Path

from sci_plugins.__main__ import find_configs

PAGE = Path(__file__).parent / 'configs.md'
_HEAD = """# Configs

One config a row of a table. Every command takes them by name, `sci_plugins::darkface/NAME.py`,
from the wheel too; `sci-plugins configs PATTERN` lists them. This page is made by
`python docs/list_configs.py`.
"""


def page() -> str:
    """The text of the page."""
    found = groupby(find_configs(), lambda each: each[0].split('/')[0])
    parts = [_HEAD]
    for folder, configs in found:
        rows = [f'| `{name}` | {told.replace("|", "/")} |' for name, told in configs]
        parts.append('\n'.join([f'\n## {folder}\n', '| config | |', '| --- | --- |', *rows]))
    return '\n'.join(parts) + '\n'


if __name__ == '__main__':
    PAGE.write_text(page())
