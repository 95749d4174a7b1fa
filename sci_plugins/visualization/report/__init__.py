"""One HTML file that tells a comparison: answer first, then everything it rests on."""

from sci_plugins.visualization.report.cells import label_of
from sci_plugins.visualization.report.plots import Curve, Sheet
from sci_plugins.visualization.report.render import render_report

__all__ = ['Curve', 'Sheet', 'label_of', 'render_report']
