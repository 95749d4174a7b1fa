"""Everything that can stand in front of a host model; one contract, one slot."""

from sci_plugins.models.enhancers.adaptive import AdaptiveSCIEnhancer
from sci_plugins.models.enhancers.base import BaseEnhancer, Enhanced, RetinexEnhancer
from sci_plugins.models.enhancers.build import build_enhancer, parse_enhancer
from sci_plugins.models.enhancers.classical import (
    CLAHEEnhancer,
    GammaEnhancer,
    HistogramEqualizationEnhancer,
    IdentityEnhancer,
    MeanMatchEnhancer,
)
from sci_plugins.models.enhancers.export import save_enhancer
from sci_plugins.models.enhancers.gated import GatedEnhancer
from sci_plugins.models.enhancers.iat import IATEnhancer
from sci_plugins.models.enhancers.lime import LIMEEnhancer
from sci_plugins.models.enhancers.onnx import OnnxEnhancer
from sci_plugins.models.enhancers.ruas import RUASEnhancer, RUASNetEnhancer
from sci_plugins.models.enhancers.sci import SCIEnhancer
from sci_plugins.models.enhancers.temporal import TemporalEnhancer
from sci_plugins.models.enhancers.weights import load_enhancer_weights
from sci_plugins.models.enhancers.zero_dce import ZeroDCEEnhancer

__all__ = [
    'AdaptiveSCIEnhancer', 'BaseEnhancer', 'CLAHEEnhancer', 'Enhanced', 'GammaEnhancer',
    'GatedEnhancer', 'HistogramEqualizationEnhancer', 'IATEnhancer', 'IdentityEnhancer',
    'LIMEEnhancer', 'MeanMatchEnhancer', 'OnnxEnhancer', 'RUASEnhancer', 'RUASNetEnhancer',
    'RetinexEnhancer', 'SCIEnhancer', 'TemporalEnhancer', 'ZeroDCEEnhancer', 'build_enhancer',
    'load_enhancer_weights', 'parse_enhancer', 'save_enhancer',
]  # fmt: skip
