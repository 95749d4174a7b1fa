"""What the command line tools share: one line for a user's mistake, tables of text."""

import argparse
import io
import os
import pickle
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from textwrap import dedent
from typing import Any, NoReturn

from prettytable import PrettyTable

from sci_plugins.compat import DISTRIBUTIONS, INSTALL
from sci_plugins.errors import ConfigError, SciPluginsError, describe_unpickling, first_line

# Control characters, and what Python makes of bytes that are not UTF-8.
_NO_TEXT = re.compile('[\x00-\x1f\x7f\ud800-\udfff]')
_LONGEST = 1000  # of a message, which may quote any argument
#: Set to 1 to get the traceback of an error that is otherwise reported in one line.
TRACEBACK_VARIABLE = 'SCI_PLUGINS_TRACEBACK'


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a tool and exit: 2 and one line for a user's mistake, 130 for Ctrl-C.

    A mistake is a :class:`SciPluginsError`, an ``OSError`` (missing file, full
    disk), a type that no registry knows or whose arguments do not fit, a label map
    with an unknown class, or a checkpoint that torch refuses because it holds code.
    Anything else is a bug of this package and keeps its traceback.

    Modules in the current folder can be named, such as ``my_file.MyEnhancer``.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: no file there hides an installed package
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may not be text
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        check_arguments(sys.argv[1:])
        code = main() or 0
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        code = 130
    except Exception as error:
        message = _user_message(error)
        if message is None or os.environ.get(TRACEBACK_VARIABLE) == '1':
            raise
        print(f'error: {message}', file=sys.stderr)
        code = 2
    sys.exit(code)


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that are empty or not text.

    Raises:
        ConfigError: for nothing but spaces, NUL bytes, line breaks and other control
            characters, and bytes that are not UTF-8.
    """
    for before, text in zip(['', *arguments], arguments, strict=False):
        if not text.strip():
            raise ConfigError(f'empty argument {"after " + before if before else ""}'.strip())
        if _NO_TEXT.search(text):
            raise ConfigError(
                f'an argument must be UTF-8 text without control characters, got {text!r}'
            )


def _user_message(error: Exception) -> str | None:
    """One line for a mistake that the user can fix, ``None`` for a bug of ours."""
    if isinstance(error, (SciPluginsError, OSError)):
        return _one_line(str(error)) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return describe_missing(error)
    if isinstance(error, pickle.UnpicklingError):
        return describe_unpickling('a checkpoint', error)
    # What MMEngine says of a misspelt `type` in a config.
    unknown = re.search(r'\S+ is not in the [\w: ]+ registry', str(error))
    if isinstance(error, KeyError) and unknown:
        return f"{unknown[0].lstrip(chr(39))}: check the config's spelling and scope"
    return describe_host_error(error)


def describe_missing(error: ModuleNotFoundError) -> str | None:
    """One line where a package of the hosts is missing, ``None`` for another module."""
    if error.name not in DISTRIBUTIONS:
        return None
    return f'this needs the package {error.name}, which is not installed: {INSTALL}'


def _one_line(text: str) -> str:
    """The message alone: a data loader's worker sends it on the last line of a traceback."""
    if 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].partition(': ')[2]
    text = ' '.join(text.split())
    return text if len(text) <= _LONGEST else f'{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}'


def describe_host_error(error: Exception) -> str | None:
    """One line for a mistake in a config or a label map, ``None`` for anything else."""
    return (
        _describe_arguments(error)
        or _describe_input(error)
        or _describe_label(error)
        or _describe_process(error)
        or _describe_name(error)
    )


def _describe_arguments(error: Exception) -> str | None:
    """A type in a config was given an argument that it does not have, or lacks one."""
    wrong = (
        r'\S+\.__init__\(\) (got an unexpected keyword|missing \d+ required)|\S+\(\) takes no arg'
    )
    if isinstance(error, TypeError) and re.match(wrong, str(error)):
        return f"{first_line(error)}: check the config's arguments for it"
    if isinstance(error, TypeError) and str(error).endswith('is not a callable object'):
        return "unknown type of an optimizer: check the config's optim_wrapper.optimizer"
    if isinstance(error, RuntimeError) and 'expected weight to be at least 1' in str(error):
        return f"{first_line(error)}: check the config's channels and num_classes"
    return None


def _describe_input(error: Exception) -> str | None:
    """Images reached the model as a list, because no data preprocessor stacked them."""
    is_call = isinstance(error, TypeError)
    if is_call and re.match(r'conv2d\(\) .* got \(list,', str(error)):
        return (
            'the model got a list of images, not a batch: its config has no '
            'data_preprocessor that stacks them'
        )
    return None


def _describe_label(error: Exception) -> str | None:
    """A label map with a class that the model does not have."""
    value = re.search(r'Target (-?\d+) is out of bounds', str(error))
    if isinstance(error, IndexError) and value:
        return (
            f'a label map has the class {value[1]}, which the model does not have: check '
            'the label maps, num_classes and reduce_zero_label'
        )
    return None


def _describe_name(error: Exception) -> str | None:
    """The name of a file, in a config or another file, that no system takes."""
    if isinstance(error, ValueError) and 'embedded null' in str(error):
        return 'the name of a file or folder holds a NUL byte'
    return None


def _describe_process(error: Exception) -> str | None:
    """Another process of this run died, or did not answer in time."""
    text = str(error)
    is_gloo = isinstance(error, RuntimeError) and 'gloo/' in text
    if not is_gloo and not re.match('Dist.*Error', type(error).__name__):
        return None
    if re.search('time(d )?.?out', text, re.IGNORECASE):
        return (
            'another process of this run has not answered for as long as --timeout says: it '
            'hangs, was stopped, or works on something that takes longer'
        )
    cause = re.search(r'\.cc:\d+\] (.+?)\. ', text)
    told = cause[1] if cause else first_line(error)
    return f'another process of this run ended, see what it said: {told}'


class _Quiet(io.StringIO):
    """Keeps what is printed; a warning or an error is shown as well, once."""

    def __init__(self) -> None:
        super().__init__()
        self.console = sys.stdout
        # Of the first there is nothing to do; of the second we know the numbers: 0.
        self.told = {'The prefix is not set in metric class', 'The testing results of the whole'}

    def write(self, text: str) -> int:
        level = re.search('WARNING|ERROR', text)
        if level and not any(each in text for each in self.told):
            self.told.add(text[level.end() :].strip() or text)
            self.console.write(text)
        return super().write(text)


@contextmanager
def quiet_hosts(log: str | os.PathLike[str], verbose: bool = False) -> Iterator[None]:
    """Keep what the hosts print off the console; it goes to the end of a file.

    Their warnings are shown once; of what Python warns about in them, nothing.

    Args:
        log: the file; empty: none. Nothing is written where its folder is missing at the end.
        verbose: leave everything on the console instead.
    """
    if verbose:
        yield
        return
    kept = _Quiet()
    try:
        with redirect_stdout(kept), warnings.catch_warnings():
            warnings.filterwarnings('ignore', module=r'(mmdet|mmseg|mmcv|mmengine)\b')
            yield
    finally:
        if log and os.path.isdir(os.path.dirname(log) or '.'):
            with open(log, 'a', encoding='utf-8', errors='backslashreplace') as file:
                file.write(kept.getvalue())


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """The description as it stands; each default that says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, value = action.help or '', action.default
        silent = value is False or value in (None, '', [], (), {}, argparse.SUPPRESS)
        if silent or 'default' in text:
            return text
        told = ' '.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        return f'{text} (default: {told.replace("%", "%%")})'


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """``--device``: what PyTorch calls it, or auto for a GPU if there is one."""
    parser.add_argument(
        '--device', default='cpu', type=_device, help='cpu, cuda or auto (default: %(default)s)'
    )


def _device(text: str) -> str:
    if text != 'auto':
        return text
    import torch

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def add_verbose_argument(parser: argparse.ArgumentParser) -> None:
    """``-v``; see :func:`quiet_hosts`."""
    text = "show what the hosts print, which goes to the work dir's console.log otherwise"
    parser.add_argument('-v', '--verbose', action='store_true', help=text)


def add_output_arguments(parser: argparse.ArgumentParser, what: str = 'result') -> None:
    """``--json FILE`` and ``--overwrite``; see :func:`sci_plugins.utils.files.check_outputs`."""
    group = parser.add_argument_group('output')
    group.add_argument('--json', metavar='FILE', help=f'also write the {what} to this file')
    group.add_argument(
        '--overwrite', action='store_true', help='replace files that no tool of ours wrote'
    )


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    """How contenders are judged, and whether the report is written."""
    group = parser.add_argument_group('judging')
    group.add_argument(
        '--base', metavar='NAME', help='what all others are compared with (default: the first)'
    )
    group.add_argument(
        '--resample',
        default='images',
        metavar='images|clips:REGEX|blocks:N',
        help='what the bootstrap draws: images, clips (frames whose names give the same match '
        'of REGEX), or blocks of N consecutive images',
    )
    group.add_argument('--resamples', type=int, default=1000, help='number of bootstrap resamples')
    group.add_argument('--seed', type=int, default=0, help='seed of the bootstrap')
    group.add_argument(
        '--margin',
        type=float,
        default=0.5,
        metavar='POINTS',
        help='differences within it do not matter, in points of percent (default: 0.5)',
    )
    group.add_argument(
        '--correction',
        default='holm',
        help='of the verdicts for their number: holm, bh (Benjamini and Hochberg) or none',
    )
    group.add_argument('--no-report', action='store_true', help='leave out report.html')


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns for reading; those with numbers in them to the right.

    Args:
        head: titles of the columns; the first column stays on the left.
        rows: cells, of any type. Text that begins with a digit is a number too.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    table = PrettyTable(list(head), border=False, left_padding_width=0, right_padding_width=1)
    table.align = 'l'
    for index, title in enumerate(head):
        if index and any(re.match(r'[-+]?[\d.]', row[index]) for row in cells):
            table.align[title] = 'r'
    table.add_rows(cells)
    return '\n'.join(line.rstrip() for line in dedent(table.get_string()).splitlines())


#: Help of ``--tta``.
TTA_HELP = 'test-time augmentation, by the tta_model and tta_pipeline of the config'


class _Settings(argparse.Action):
    """MMEngine's ``KEY=VALUE``, with an error that names the problem."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        from mmengine.config import DictAction  # late: --help need not wait for PyTorch

        try:
            DictAction([], self.dest)(parser, namespace, values, option)
        except (ValueError, AssertionError) as error:
            parser.error(f'argument {option}: expected KEY=VALUE, got {values} ({error})')


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """OpenMMLab's usual options, with their usual meaning."""
    group = parser.add_argument_group('config and machine')
    group.add_argument('--work-dir', help='folder for logs, checkpoints and results')
    group.add_argument(
        '--cfg-options',
        nargs='+',
        action=_Settings,
        default={},
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. data_root=/data model.x=1',
    )
    group.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes (torchrun: pytorch)',
    )
    group.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='allow checkpoints that are not plain data (they can execute code)',
    )
    group.add_argument(
        '--timeout',
        type=float,
        metavar='MINUTES',
        help='give up when another process has not answered for so long (default: 10, or what '
        'the config says in env_cfg.dist_cfg)',
    )
    # torchrun of torch < 2 passes it; newer ones set an environment variable.
    group.add_argument('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)
