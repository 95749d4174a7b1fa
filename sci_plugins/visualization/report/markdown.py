"""A comparison as Markdown: the same account as the HTML report, without pictures."""

import re
from collections.abc import Iterable, Sequence

from sci_plugins.evaluation.comparison import Comparison
from sci_plugins.utils.files import MARK
from sci_plugins.version import __version__
from sci_plugins.visualization.report.account import NOT_A_TRAINING_RUN, Account
from sci_plugins.visualization.report.cells import Table
from sci_plugins.visualization.report.sections import ABOUT_DECISIONS, DECISIONS

_ESCAPED = str.maketrans(
    {'<': '&lt;', '>': '&gt;', '\n': ' ', '\r': ' '} | {sign: f'\\{sign}' for sign in '\\|*`[~'}
)
_CELLS = 'Each cell shows the value and, in parentheses, Δ with its 95 % interval.'
_HOST_NUMBERS = (
    'As the host computes and rounds them, with an interval if the number is also known image by '
    'image.'
)


def tell_comparison(comparison: Comparison) -> str:
    """The whole text in GitHub's Markdown, whose tables no name can break."""
    account = Account(comparison)
    parts = [f'# Does it help? {escape(account.question)}', '']
    parts += [f'**{escape(account.headline + account.caveat)}.**', '']
    parts += [f'- {escape(condition)}: {escape(told)}' for condition, told in account.answers]
    for title, told in account.warnings:
        parts += ['', f'**{title}.** {escape(told)}']
    parts += _verdicts(account)
    for section in (*account.strata, *account.classes):
        parts += _tables(section.title, section.tables, section.note, account.mark)
    parts += _decisions(account)
    parts += _tables('All metrics', account.metrics, _CELLS, account.mark)
    parts += _tables("Numbers of the config's own evaluator", account.host_numbers, _HOST_NUMBERS)
    parts += _method(account)
    return '\n'.join(parts) + '\n'


def escape(text: str) -> str:
    """Escape what would break a line, a table cell or plain text."""
    return text.translate(_ESCAPED)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table, the first column aligned left, all others right."""
    lines = [[*map(escape, cells)] for cells in (head, *rows)]
    lines.insert(1, ['---', *['---:'] * (len(head) - 1)])
    return [f'| {" | ".join(cells)} |' for cells in lines]


def _verdicts(account: Account) -> list[str]:
    if account.matrix is None:
        return []
    told = f'Δ of {account.metric} ({account.unit}) against {account.base!r}, on the same images'
    if account.judged:
        signs = '; '.join(f'{mark} {name}: {text}' for _, mark, name, text in account.meanings)
        told += f', in parentheses after the value, with its 95 % interval. {signs}. '
        told += account.family
    else:
        told += '. Without an interval, a small difference may be chance.'
    told = escape(told + account.mark)
    return ['', f'## {account.matrix.title}', '', told, '', *_table(account.matrix)]


def _tables(title: str, tables: Sequence[Table], note: str, mark: str = '') -> list[str]:
    if not tables:
        return []
    lines = ['', f'## {escape(title)}', '', escape(note + mark)]
    for table in tables:
        lines += ['', f'### {escape(table.title)}', '', *_table(table)]
        lines += ['', escape(table.note)] if table.note else []
    return lines


def _decisions(account: Account) -> list[str]:
    if not account.decisions:
        return []
    lines = ['', f'## {DECISIONS}', '', ABOUT_DECISIONS]
    for each in account.decisions:
        lines += ['', f'### {escape(each.facts.title)}', '', each.text, '']
        lines += markdown_table(each.facts.head, each.facts.rows)
    return lines


def _table(table: Table) -> list[str]:
    """A table with the base's values in a column, in a row if it was turned, or in each cell."""
    beside = bool(table.base) and not table.base_row
    head = [table.corner, *[table.base] * beside, *table.columns]
    rows = [[table.base, *table.base_row]] if table.base_row else []
    for name, base, cells in table.rows:
        told = [cell and ('' if table.base else f'{cell.base} → ') + cell.text for cell in cells]
        rows.append([name, *[base] * beside, *(each or '' for each in told)])
    return markdown_table(head, rows)


def _method(account: Account) -> list[str]:
    told = [f'- {escape(name)}: {escape(text)}' for name, text in account.definitions.items()]
    lines = ['', '## What the numbers are', '', *told] if told else []
    lines += ['', '## Method', '', f'{escape(account.method)} {NOT_A_TRAINING_RUN}']
    lines += ['', '## Made with'] if account.facts else []
    for facts in account.facts:
        lines += ['', f'### {facts.title}', '', *markdown_table(facts.head, facts.rows)]
    for label, text in account.diffs.items():
        fence = '`' * max(3, 1 + max(map(len, re.findall('`+', text)), default=0))
        lines += ['', f'## {escape(label)}: changes in the config', '', f'{fence}diff', text, fence]
    return [*lines, '', f'{MARK} {__version__}.']
