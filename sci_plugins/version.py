"""The version, where everything may import it without importing upwards."""

__version__ = '0.1.0'
