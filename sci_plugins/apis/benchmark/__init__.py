"""What enhancement costs: measured here, on this machine, in one process."""

from sci_plugins.apis.benchmark.enhancer import EnhancerResult, benchmark_enhancer
from sci_plugins.apis.benchmark.stage import StageResult, benchmark_stage

__all__ = ['EnhancerResult', 'StageResult', 'benchmark_enhancer', 'benchmark_stage']
