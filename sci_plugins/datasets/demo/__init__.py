"""The built-in demo's data: drawn on this machine, nothing is downloaded."""

from sci_plugins.datasets.demo.classes import STREET_CLASSES, STREET_PALETTE
from sci_plugins.datasets.demo.prepare import (
    BRIGHT,
    CONDITIONS,
    Condition,
    demo_folder,
    prepare_demo,
)

__all__ = [
    'BRIGHT',
    'CONDITIONS',
    'STREET_CLASSES',
    'STREET_PALETTE',
    'Condition',
    'demo_folder',
    'prepare_demo',
]
