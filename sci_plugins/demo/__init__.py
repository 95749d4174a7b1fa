"""The built-in demo: generated data, two small networks, and what runs them."""

from sci_plugins.demo.prepare import BRIGHT, CONDITIONS, Lighting, demo_folder, prepare_demo
from sci_plugins.demo.streets import STREET_CLASSES, STREET_PALETTE

__all__ = [
    'BRIGHT', 'CONDITIONS', 'STREET_CLASSES', 'STREET_PALETTE', 'Lighting', 'demo_folder',
    'prepare_demo',
]  # fmt: skip
