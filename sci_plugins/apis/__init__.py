"""What the command line tools call, usable from Python as well."""

from sci_plugins.apis.attach import attach, detach
from sci_plugins.apis.enhance import enhance

__all__ = ['attach', 'detach', 'enhance']
