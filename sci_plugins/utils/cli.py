"""What the command line tools share: one line for a user's mistake, tables of text."""

import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from types import FrameType
from typing import Any, NoReturn

from prettytable import PrettyTable

from sci_plugins.errors import SciPluginsError, first_line

#: Set to 1 to see the traceback of an error that is otherwise told in one line.
TRACEBACK_VARIABLE = 'SCI_PLUGINS_TRACEBACK'


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a tool and exit: 2 and one line for a user's mistake, 130 for Ctrl-C.

    A mistake is a :class:`SciPluginsError`, an ``OSError`` (missing file, full
    disk), a type that no registry knows or whose arguments do not fit, a label map
    that does not fit, or a checkpoint that torch refuses as code. Anything else is a
    defect of ours and keeps its traceback.
    """
    try:
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


def _user_message(error: Exception) -> str | None:
    """One line for a mistake that the user can mend, ``None`` for our own."""
    if isinstance(error, (SciPluginsError, OSError)):
        return _one_line(str(error)) or type(error).__name__
    if isinstance(error, pickle.UnpicklingError):
        from sci_plugins.errors import describe_unpickling

        return describe_unpickling('a checkpoint', error)
    # MMEngine's word for a misspelt `type` in a config.
    unknown = re.search(r'\S+ is not in the \S+ registry', str(error))
    if isinstance(error, KeyError) and unknown:
        return f"{unknown[0].lstrip(chr(39))}: check the config's spelling and scope"
    from sci_plugins.utils.cli import describe_host_error

    return describe_host_error(error)


def _one_line(text: str) -> str:
    """A data loader's worker sends its whole traceback, the message on the last line."""
    if 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].partition(': ')[2]
    return ' '.join(text.split())


_PACKAGE = str(Path(__file__).parents[1])


def describe_host_error(error: Exception) -> str | None:
    """One line for a mistake in a config or a label map, ``None`` for anything else."""
    return (
        _describe_arguments(error)
        or _describe_input(error)
        or _describe_label(error)
        or _describe_labels_of_a_batch(error)
    )


def frames_of(error: BaseException) -> list[FrameType]:
    """The frames of an error's traceback, outermost first."""
    frames, step = [], error.__traceback__
    while step is not None:
        frames.append(step.tb_frame)
        step = step.tb_next
    return frames


def is_ours(frame: FrameType) -> bool:
    """Whether a frame runs this package's own code."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def _describe_arguments(error: Exception) -> str | None:
    """A type in a config was given an argument that it has not, or lacks one."""
    frames = frames_of(error)
    if not isinstance(error, TypeError) or not frames:
        return None
    # Raised by the call itself, not below it: the arguments do not fit.
    if frames[-1].f_code.co_name != 'build_from_cfg':
        return None
    return f"{first_line(error)}: check the config's arguments for it"


def _describe_input(error: Exception) -> str | None:
    """What a data preprocessor would have made a batch is still a list."""
    is_call = isinstance(error, TypeError)
    if is_call and re.match(r'conv2d\(\) .* got \(list,', str(error)):
        return (
            'the model was given a list of images and no batch: its config has no '
            'data_preprocessor that makes one'
        )
    return None


def _describe_label(error: Exception) -> str | None:
    """A label map with a class or of a size that does not fit."""
    if not isinstance(error, IndexError):
        return None
    value = re.search(r'Target (-?\d+) is out of bounds', str(error))
    if value:
        return (
            f'a label has the class {value[1]}, which the model does not have: check the '
            'label maps, num_classes and reduce_zero_label'
        )
    sizes = re.search(r'shape of the mask (\[[^]]*\]).* tensor (\[[^]]*\])', str(error))
    for frame in frames_of(error) if sizes else []:
        sample: Any = frame.f_locals.get('data_sample')
        if sizes and isinstance(sample, Mapping):
            path = sample.get('seg_map_path') or sample.get('img_path')
            return f'{path}: the label map has the size {sizes[1]}, the image {sizes[2]}'
    return None


def _describe_labels_of_a_batch(error: Exception) -> str | None:
    """Labels that do not stack, because one does not have the size of its image."""
    is_stack = isinstance(error, RuntimeError) and 'stack expects each' in str(error)
    for frame in frames_of(error) if is_stack else []:
        for sample in _samples(frame.f_locals.get('batch_data_samples')):
            # What mmseg added to the image it added to the label map.
            _, right, _, below = sample.get('padding_size', (0, 0, 0, 0))
            height, width = sample.gt_sem_seg.shape[-2:]
            label = [height - below, width - right]
            image = list(sample.get('img_shape', label))[:2]
            if label != image:
                path = sample.get('seg_map_path') or sample.get('img_path')
                return (
                    f'{path}: the label map has the size {label}, the image {image} '
                    '(as the pipeline gives them)'
                )
    return None


def _samples(value: Any) -> list[Any]:
    """Data samples with a label map, if that is what ``value`` holds."""
    found = value if isinstance(value, list | tuple) else []
    return [sample for sample in found if hasattr(sample, 'gt_sem_seg')]


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
