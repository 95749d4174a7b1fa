"""Reading small text files line by line, so that an error can name the line."""

from pathlib import Path

from sci_plugins.errors import DataError


def read_numbered_lines(path: Path, kind: str = 'file') -> list[tuple[int, str]]:
    """Lines that are not blank, stripped, with their numbers from 1.

    Windows line ends and a byte order mark are fine.

    Args:
        path: the file, UTF-8.
        kind: what it is, for the message.

    Raises:
        DataError: naming the file, if it is missing or is not text.
    """
    try:
        content = path.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        raise DataError(f'{path}: there is no such {kind}') from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f'{path}: cannot be read as text ({error})') from error
    numbered = enumerate(content.splitlines(), start=1)
    return [(number, line.strip()) for number, line in numbered if line.strip()]
