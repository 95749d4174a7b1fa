"""One HTML file that tells a comparison: answer first, then everything it rests on."""

from sci_plugins.visualization.report.inputs import Curve, Sheet
from sci_plugins.visualization.report.render import render_report
from sci_plugins.visualization.report.rows import label_of

__all__ = ['Curve', 'Sheet', 'label_of', 'render_report']
