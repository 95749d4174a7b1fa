"""Pictures and curves."""

from sci_plugins.visualization.tensorboard import TensorboardVisBackend

__all__ = ['TensorboardVisBackend']
