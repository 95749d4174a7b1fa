"""Where the library keeps files outside the source tree."""

import os
from pathlib import Path

#: Folder for downloaded weights and generated demo data.
CACHE_VARIABLE = 'SCI_PLUGINS_CACHE'


def cache_folder() -> Path:
    """``$SCI_PLUGINS_CACHE``, else ``$XDG_CACHE_HOME/sci_plugins``, else ``~/.cache``.

    The folder need not exist yet.
    """
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE]).expanduser()
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(base).expanduser() / 'sci_plugins'
