"""Records and results as pictures: arrays in, arrays out, OpenCV and NumPy only."""

from sightline.draw.record import draw_record
from sightline.draw.result import draw_result, draw_results
from sightline.draw.sheet import contact_sheet, draw_comparison, fit_scale, side_by_side
from sightline.draw.theme import class_colour

__all__ = [
    "class_colour",
    "contact_sheet",
    "draw_comparison",
    "draw_record",
    "draw_result",
    "draw_results",
    "fit_scale",
    "side_by_side",
]
