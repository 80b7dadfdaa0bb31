"""The sections of the page in their order: a new one is a file, a template and a line here."""

from ffdwv_fast.report.sections.calibration import CALIBRATION
from ffdwv_fast.report.sections.classes import CLASSES
from ffdwv_fast.report.sections.configuration import CONFIGURATION
from ffdwv_fast.report.sections.costs import COSTS
from ffdwv_fast.report.sections.curves import CURVES
from ffdwv_fast.report.sections.matrices import MATRICES
from ffdwv_fast.report.sections.mistakes import MISTAKES
from ffdwv_fast.report.sections.overview import OVERVIEW

SECTIONS = (OVERVIEW, CURVES, MATRICES, CLASSES, MISTAKES, CALIBRATION, COSTS, CONFIGURATION)
