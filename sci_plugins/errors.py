"""Errors that a user can mend, each saying argument, wish and fact in one line.

The command line prints these (and plain ``OSError``) without a traceback and
exits with code 2; everything else is a defect of ours and keeps its traceback.
"""


class SciPluginsError(Exception):
    """Base of every error that this library raises on purpose."""


class ConfigError(SciPluginsError, ValueError):
    """A config, an option or an argument asks for something impossible."""


class DataError(SciPluginsError, ValueError):
    """An image, a label or a folder is not what the layout promises."""


class CheckpointError(SciPluginsError, RuntimeError):
    """A weight file is damaged, unsafe, or made for another architecture."""


class TrainingError(SciPluginsError, RuntimeError):
    """A training run went wrong: its loss or its weights are no numbers any more."""


class MissingDependencyError(SciPluginsError, ImportError):
    """An optional package (mmdet, mmseg, ...) is needed and not installed."""
