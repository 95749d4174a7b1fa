"""A comparison told as one HTML file and as Markdown: the answer first, then all it rests on."""

from sci_plugins.visualization.report.markdown import tell_comparison
from sci_plugins.visualization.report.plots import Curve, Sheet
from sci_plugins.visualization.report.render import render_report

__all__ = ['Curve', 'Sheet', 'render_report', 'tell_comparison']
