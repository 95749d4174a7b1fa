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
from sci_plugins.utils.folders import PathLike

# Control characters, and what Python makes of bytes that are not UTF-8.
_NO_TEXT = re.compile('[\x00-\x1f\x7f\ud800-\udfff]')
_LONGEST = 1000  # of a message, which may quote any argument
TRACEBACK_VARIABLE = 'SCI_PLUGINS_TRACEBACK'  # 1: a traceback instead of the one line


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a tool and exit: 2 and one line for a user's mistake, 130 for Ctrl-C.

    A mistake is a :class:`SciPluginsError`, an ``OSError`` (missing file, full disk), a checkpoint
    that torch refuses because it holds code, or one of :func:`describe_host_error`. Anything else
    is a bug of this package and keeps its traceback. Modules in the current folder can be named,
    such as ``my_file.MyEnhancer``.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: no file there hides an installed package
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names may not be text
        sys.stdout.reconfigure(errors='backslashreplace')
    if not sys.stderr.isatty():  # a log file wants no line for each step of a bar
        os.environ.setdefault('TQDM_MININTERVAL', '10')
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
    """``ConfigError`` for arguments that are blank, or not UTF-8 without control characters."""
    for before, text in zip(['', *arguments], arguments, strict=False):
        if not text.strip():
            raise ConfigError(f'empty argument {"after " + before if before else ""}'.strip())
        if _NO_TEXT.search(text):
            wish = 'UTF-8 text without control characters'
            raise ConfigError(f'an argument must be {wish}, got {text!r}')


def _user_message(error: Exception) -> str | None:
    """One line for a mistake that the user can fix, ``None`` for a bug of ours."""
    if isinstance(error, (SciPluginsError, OSError)):
        return _one_line(str(error)) or type(error).__name__
    if isinstance(error, ModuleNotFoundError):
        return describe_missing(error)
    if isinstance(error, pickle.UnpicklingError):
        return describe_unpickling('a checkpoint', error)
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


#: Errors of the hosts: class, what is in their message, and what the user is told. There ``{0}`` is
#: the first line of the message, ``{1}`` the first group of the pattern.
_HOST_ERRORS: tuple[tuple[type[Exception], str, str], ...] = (
    (KeyError, r"'*(\S+ is not in the [\w: ]+ registry)",
     "{1}: check the config's spelling and scope"),
    (TypeError,
     r'^\S+\.__init__\(\) (?:got an unexpected|missing \d+ required)|^\S+\(\) takes no arg',
     "{0}: check the config's arguments for it"),
    (TypeError, 'is not a callable object$',
     "unknown type of an optimizer: check the config's optim_wrapper.optimizer"),
    (TypeError, r'^conv2d\(\) .* got \(list,',
     'the model got a list of images: its config has no data_preprocessor that makes a batch'),
    (RuntimeError, 'expected weight to be at least 1',
     "{0}: check the config's channels and num_classes"),
    (IndexError, r'Target (-?\d+) is out of bounds',
     'a label map has the class {1}, which the model does not have: check the label maps, '
     'num_classes and reduce_zero_label'),
    (ValueError, 'embedded null', 'the name of a file or folder holds a NUL byte'),
)  # fmt: skip


def describe_host_error(error: Exception) -> str | None:
    """One line for a mistake in a config or a label map, ``None`` for anything else."""
    for kind, pattern, told in _HOST_ERRORS:
        found = re.search(pattern, str(error))
        if isinstance(error, kind) and found:
            return told.format(first_line(error), *found.groups())
    return _describe_process(error)


def _describe_process(error: Exception) -> str | None:
    text = str(error)
    is_gloo = isinstance(error, RuntimeError) and 'gloo/' in text
    if not is_gloo and not re.match('Dist.*Error', type(error).__name__):
        return None
    subject = 'another process of this run'
    if re.search('time(d )?.?out', text, re.IGNORECASE):
        causes = 'it hangs, was stopped, or works on something that takes longer'
        return f'{subject} has not answered for as long as --timeout says: {causes}'
    cause = re.search(r'\.cc:\d+\] (.+?)\. ', text)
    return f'{subject} ended, see what it said: {cause[1] if cause else first_line(error)}'


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
def quiet_hosts(log: PathLike, verbose: bool = False) -> Iterator[None]:
    """Keep what the hosts print, unless ``verbose``, off the console.

    It goes to the end of the file ``log``, if that has a name and its folder is there in the end.
    Their warnings are shown once; of what Python warns about in them, nothing.
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
    parser.add_argument('--device', default='cpu', type=_device, help='cpu (default), cuda or auto')


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
    add = parser.add_argument_group('output').add_argument
    add('--json', metavar='FILE', help=f'also write the {what} to this file')
    add('--overwrite', action='store_true', help='replace files that no tool of ours wrote')


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    """How contenders are judged, and whether the report is written."""
    add = parser.add_argument_group('judging').add_argument
    add('--base', metavar='NAME', help='what all others are compared with (default: the first)')
    text = 'what the bootstrap draws: images, clips (frames whose names give the same match of '
    text += 'REGEX), or blocks of N images in a row'
    add('--resample', default='images', metavar='images|clips:REGEX|blocks:N', help=text)
    add('--resamples', type=int, default=1000, help='number of bootstrap resamples')
    add('--seed', type=int, default=0, help='seed of the bootstrap')
    text = 'differences within it do not matter, in points of percent (default: 0.5)'
    add('--margin', type=float, default=0.5, metavar='POINTS', help=text)
    text = 'of the verdicts for their number: holm, bh (Benjamini and Hochberg) or none'
    add('--correction', default='holm', help=text)
    add('--no-report', action='store_true', help='leave out report.html')


def text_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns; all but the first to the right if a cell of theirs begins like a number."""
    cells = [[str(cell) for cell in row] for row in rows]
    table = PrettyTable(list(head), border=False, left_padding_width=0, right_padding_width=1)
    table.align = 'l'
    for index, title in enumerate(head):
        if index and any(re.match(r'[-+]?[\d.]', row[index]) for row in cells):
            table.align[title] = 'r'
    table.add_rows(cells)
    return '\n'.join(line.rstrip() for line in dedent(table.get_string()).splitlines())


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
    add = parser.add_argument_group('config and machine').add_argument
    add('--work-dir', help='folder for logs, checkpoints and results')
    text = 'override settings of the config, e.g. data_root=/data model.x=1'
    shape: dict[str, Any] = dict(nargs='+', default={}, metavar='KEY=VALUE')
    add('--cfg-options', action=_Settings, help=text, **shape)
    text = 'what started the processes (torchrun: pytorch)'
    add('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help=text)
    text = 'allow checkpoints that are not plain data (they can execute code)'
    add('--trust-checkpoint', action='store_true', help=text)
    text = 'give up after waiting so long for another process (default: 10, or env_cfg.dist_cfg)'
    add('--timeout', type=float, metavar='MINUTES', help=text)
    # torchrun of torch < 2 passes it; newer ones set an environment variable.
    add('--local-rank', '--local_rank', type=int, help=argparse.SUPPRESS)
