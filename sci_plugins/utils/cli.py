"""What every command line tool shares: one line for a user's mistake."""

import os
import pickle
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from sci_plugins.errors import SciPluginsError

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
        from sci_plugins.utils.error_text import describe_unpickling

        return describe_unpickling('a checkpoint', error)
    # MMEngine's word for a misspelt `type` in a config.
    unknown = re.search(r'\S+ is not in the \S+ registry', str(error))
    if isinstance(error, KeyError) and unknown:
        return f"{unknown[0].lstrip(chr(39))}: check the config's spelling and scope"
    from sci_plugins.utils.host_errors import describe_host_error

    return describe_host_error(error)


def _one_line(text: str) -> str:
    """A data loader's worker sends its whole traceback, the message on the last line."""
    if 'Original Traceback' in text:
        text = text.strip().splitlines()[-1].partition(': ')[2]
    return ' '.join(text.split())
