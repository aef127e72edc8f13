"""The calculator's picture as SVG: bars of memory and of time on the left, the roofline of one device on the right.

Written by a few small functions: to draw anew with matplotlib takes longer than a hand on a slider waits. What a
colour says is also said in words or by a form.
"""

from collections.abc import Sequence
from html import escape
from math import atan2, degrees, log10

from mini_lib.llm.cost.memory import DeviceMemory
from teach.figures import COLOURS
from teach.widgets.calculator_numbers import WAITS, PanelNumbers
from teach.widgets.calculator_words import gib, seconds

INK = "currentColor"  # black on a page, and in the notebook that of its theme (calculator.css)
BLACK = "#1a1a1a"
PALE = {"stroke": INK, "stroke_opacity": 0.18}
WIDTH, LEFT, RIGHT = 920, 4, 344  # pixels: of all, and where bars begin and end
MEMORY = dict(zip(("weights", "KV cache", "activations"), (COLOURS["blue"], COLOURS["orange"], COLOURS["green"])))
TIME = dict(zip(WAITS.values(), (COLOURS["vermillion"], COLOURS["sky"], COLOURS["yellow"], "#aaaaaa")))
PLOT = (496, 30, 396, 310)  # left, top, width, height
X, Y = (0.3, 1e4), (1e10, 1e16)  # FLOPs per byte, FLOPs per second: every device, from one user to the longest prompt
DOTS = {"prefill": COLOURS["vermillion"], "decode": COLOURS["blue"]}
NEAR = 16  # pixels: dots that are nearer share a label


def draw(several: Sequence[PanelNumbers], names: Sequence[str] = ("",)) -> str:
    """Return one picture of one setting, or of several on the same device, each with a letter for its name."""
    bars, bottom = _bars(several, names)
    height = max(bottom, PLOT[1] + PLOT[3] + 44)
    size = f"viewBox='0 0 {WIDTH} {height:.0f}' width='{WIDTH}' height='{height:.0f}'"
    style = f"font-family='system-ui, sans-serif' font-size='14' color='{BLACK}' fill='{INK}'"
    inside = (
        _rect(0, 0, WIDTH, height, "white", **{"class": "paper"}) + bars + _roof(several[0]) + _dots(several, names)
    )
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {style}>{inside}</svg>"


# --- the pen ---------------------------------------------------------------------------------------------------------


def _text(x: float, y: float, words: str, **how: object) -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}'{_how(how)}>{escape(words)}</text>" if words else ""


def _rect(x: float, y: float, width: float, height: float, fill: str, **how: object) -> str:
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{fill}'{_how(how)}/>"


def _line(*points: tuple[float, float], **how: object) -> str:
    return f"<polyline points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in points)}' fill='none'{_how(how)}/>"


def _how(how: dict[str, object]) -> str:
    return "".join(f" {name.replace('_', '-')}='{value}'" for name, value in how.items())


# --- bars ------------------------------------------------------------------------------------------------------------


def _bars(several: Sequence[PanelNumbers], names: Sequence[str]) -> tuple[str, float]:
    """The three groups of bars, and where they end."""
    high = 44 if len(several) == 1 else 20
    full = max((max(s.memory.used_bytes, s.memory.capacity_bytes) for s in several if s.memory), default=1)
    drawn, y = [_head(16, "Memory", MEMORY)], 26.0
    for shown, name in zip(several, names):
        parts = [(MEMORY[part], size / full, gib(size)) for part, size in shown.memory_bytes.items()]
        drawn.append(_bar(y, high, name, parts, f"{gib(shown.memory.used_bytes)} GiB" if parts else "-"))
        if parts:
            drawn.append(_capacity(y, high, name, shown.memory, full))
        y += high + 10
    capacity = f"thick line: the {gib(several[0].setting.device.memory_bytes)} GiB that a device has"
    drawn.append(_text(LEFT, y + 8, capacity, font_size=12))
    y += 44
    for kind, title in (("prefill", "First token"), ("decode", "Each next")):
        drawn.append(_head(y - 8, title, TIME))
        for shown, name in zip(several, names):
            waits = shown.waits_s(kind)
            whole = sum(waits.values())
            parts = [(TIME[why], spent / whole, f"{spent / whole:.0%}") for why, spent in waits.items()]
            e = shown.estimate
            drawn.append(_bar(y, high, name, parts, seconds(e.ttft_s if kind == "prefill" else e.tpot_s) if e else "-"))
            y += high + 8
        y += 34
    return "".join(drawn), y - 30


def _start(name: str) -> float:
    return LEFT + (22 if name else 0)


def _head(y: float, title: str, colours: dict[str, str]) -> str:
    """A title, and the meaning of the colours next to it."""
    drawn, x = [_text(LEFT, y, title, font_weight="bold")], LEFT + 92
    for words, colour in colours.items():
        drawn += [_rect(x, y - 11, 12, 12, colour), _text(x + 15, y, words, font_size=12)]
        x += 31 + 6.8 * len(words)
    return "".join(drawn)


def _bar(y: float, high: float, name: str, parts: list[tuple[str, float, str]], total: str) -> str:
    """A bar of parts: each with its colour, its share of the length and its value, written where it has room."""
    x, length, middle = _start(name), RIGHT - _start(name), y + high / 2 + 5
    drawn = [_text(LEFT, middle, name, font_weight="bold"), _rect(x, y, length, high, "none", **PALE)]
    for colour, share, value in parts:
        drawn.append(_rect(x, y, share * length, high, colour, stroke="white", stroke_width=0.5))
        if 12 * len(value) < share * length:
            ink = "white" if colour == COLOURS["blue"] else BLACK
            drawn.append(_text(x + share * length / 2, middle, value, text_anchor="middle", fill=ink))
        x += share * length
    return "".join(drawn) + _text(RIGHT + 12, middle, total)


def _capacity(y: float, high: float, name: str, held: DeviceMemory, full: float) -> str:
    """A line where the memory of the device ends, and a frame around what is too much."""
    scale = (RIGHT - _start(name)) / full
    end = _start(name) + held.capacity_bytes * scale
    frame = _rect(end, y, held.short_bytes * scale, high, "none", stroke=COLOURS["vermillion"], stroke_width=4)
    return frame * (not held.fits) + _line((end, y - 4), (end, y + high + 4), stroke=INK, stroke_width=4)


# --- the roofline ----------------------------------------------------------------------------------------------------


def _x(intensity: float) -> float:
    return PLOT[0] + PLOT[2] * _along(intensity, *X)


def _y(flops_per_s: float) -> float:
    return PLOT[1] + PLOT[3] * (1 - _along(flops_per_s, *Y))


def _along(value: float, first: float, last: float) -> float:
    return min(max(log10(value / first) / log10(last / first), 0.0), 1.0)


def _roof(shown: PanelNumbers) -> str:
    """The axes, and the two limits of the device."""
    left, top, width, height = PLOT
    device, peak = shown.setting.device, shown.peak_flops_per_s
    slope = device.bandwidth_bytes_per_s
    drawn = [_text(left - 40, 16, f"Roofline of one {device}", font_weight="bold")]
    for power in range(5):
        at = _x(10**power)
        drawn.append(_line((at, top), (at, top + height), **PALE))
        drawn.append(_text(at, top + height + 18, f"{10**power:,}", text_anchor="middle", font_size=13))
    for power in range(10, 17):
        at, words = _y(10**power), f"{10 ** (power % 3)} {' GTP'[power // 3 - 2]}"
        drawn.append(_line((left, at), (left + width, at), **PALE))
        drawn.append(_text(left - 6, at + 4, words, text_anchor="end", font_size=13))
    drawn.append(_text(left + width / 2, top + height + 38, "FLOPs per byte moved", text_anchor="middle"))
    drawn.append(_text(left + 6, top + 16, "FLOP/s"))
    ridge = peak / slope
    drawn.append(
        _line((_x(X[0]), _y(slope * X[0])), (_x(ridge), _y(peak)), (_x(X[1]), _y(peak)), stroke=INK, stroke_width=2.5)
    )
    drawn.append(_text(left + width - 4, _y(peak) - 8, f"{peak / 1e12:.3g} TFLOP/s", text_anchor="end"))
    tilt = -degrees(atan2(_y(Y[0]) - _y(10 * Y[0]), _x(10) - _x(1)))  # of a line that rises tenfold while x does
    x, y = _x(0.5), _y(slope * 0.5) - 8
    return "".join(drawn) + _text(x, y, f"{slope / 1e12:.3g} TB/s", transform=f"rotate({tilt:.1f} {x:.1f} {y:.1f})")


def _dots(several: Sequence[PanelNumbers], names: Sequence[str]) -> str:
    """A square for each prefill and a circle for each decode, with its name; a dotted line goes up to the roof."""
    drawn = []
    for kind in DOTS:
        labels: list[tuple[float, float, str]] = []  # where dots lie close together, they share one
        named = [(dot, name) for shown, name in zip(several, names) for dot in shown.dots if dot.name == kind]
        for dot, name in sorted(named, key=lambda pair: pair[0].intensity):
            x, y, label = _x(dot.intensity), _y(dot.flops_per_s), name or f"{kind} {dot.of_roof:.0%}"
            drawn += [
                _line((x, y), (x, _y(dot.roof_flops_per_s)), stroke=INK, stroke_dasharray="2 3"),
                _marker(kind, x, y),
            ]
            if labels and x - labels[-1][0] + abs(y - labels[-1][1]) < NEAR * len(labels[-1][2].split()):
                label = f"{labels[-1][2]} {label}"
                x, y, _ = labels.pop()
            labels.append((x, y, label))
        for x, y, label in labels:
            within = min(x + 8, PLOT[0] + PLOT[2] - 8 * len(label))
            drawn.append(_text(within, y + 20, label, font_weight="bold"))
    for at, kind in enumerate(DOTS if len(several) > 1 else ()):
        x, y = PLOT[0] + PLOT[2] - 84, PLOT[1] + PLOT[3] - 36 + 22 * at
        drawn += [_marker(kind, x, y), _text(x + 12, y + 5, kind)]
    return "".join(drawn)


def _marker(kind: str, x: float, y: float) -> str:
    look = f"fill='{DOTS[kind]}' stroke='white' stroke-width='1.5'"
    if kind == "prefill":
        return f"<rect x='{x - 6:.1f}' y='{y - 6:.1f}' width='12' height='12' {look}/>"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='6.5' {look}/>"
