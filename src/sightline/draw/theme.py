"""A fixed colour for each class, told apart by colour-blind readers, and light and dark surroundings."""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

# Okabe and Ito (2008), without black, ordered so that neighbours differ most. Past the last the same hues
# come again lighter, then darker: the name beside a mark tells those apart.
_HUES: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (0, 114, 178),
)
_SHADES = (0.0, 0.45, -0.4)

VOID_GREY: Colour = (128, 128, 128)
ALERT: Colour = (255, 0, 90)


@dataclass(frozen=True, slots=True)
class Theme:
    """Surroundings of pictures: page, panel, text, and a quieter text (RGB)."""

    page: Colour
    panel: Colour
    ink: Colour
    quiet: Colour


LIGHT = Theme(page=(250, 250, 248), panel=(255, 255, 255), ink=(28, 28, 30), quiet=(110, 110, 115))
DARK = Theme(page=(22, 23, 26), panel=(36, 38, 42), ink=(236, 236, 238), quiet=(150, 152, 158))


def theme(dark: bool) -> Theme:
    """The dark or the light surroundings."""
    return DARK if dark else LIGHT


def class_colour(index: int) -> Colour:
    """RGB of a class index; the same in every picture, page and run."""
    hue = _HUES[index % len(_HUES)]
    return shade(hue, _SHADES[index // len(_HUES) % len(_SHADES)])


def shade(colour: Colour, amount: float) -> Colour:
    """A colour moved towards white (amount > 0) or black (amount < 0), -1..1."""
    target = 255 if amount > 0 else 0
    r, g, b = (round(c + (target - c) * abs(amount)) for c in colour)
    return r, g, b


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more on a colour (relative luminance, WCAG 2)."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (255, 255, 255) if luminance < 0.179 else (0, 0, 0)
