"""The main job: one image set, without and with enhancement, and an honest answer."""

from sci_plugins.apis.compare.contenders import ModelSource, parse_models
from sci_plugins.apis.compare.session import compare, write_comparison

__all__ = ['ModelSource', 'compare', 'parse_models', 'write_comparison']
