"""The cache animation on paper: six key frames of its story, and the strip of all accesses."""

from math import ceil
from typing import Any

import numpy as np

from teach.figures import COLOURS, WIDTH

FRAMES = 6
ARRAY_COLOURS = tuple(COLOURS[name] for name in ("green", "orange", "purple", "yellow"))  # not those of hit and miss
HIT, BETWEEN, MISS = COLOURS["blue"], COLOURS["orange"], COLOURS["vermillion"]
GAP = 0.3  # between panels, whose longer side is 1


def key_steps(story: dict[str, Any]) -> list[int]:
    """Return after how many accesses the frames are taken: the first one, then ever twice as many, to the last.

    >>> key_steps({"array": [0] * 64})
    [1, 4, 8, 16, 32, 64]
    """
    count = len(story["array"])
    return sorted({1, *(ceil(count / 2**halvings) for halvings in range(FRAMES - 1))})


def counts(story: dict[str, Any], step: int) -> list[tuple[int, int]]:
    """Return the accesses and the misses of each array after `step` accesses."""
    array, missed = np.array(story["array"][:step], int), np.array(story["served"][:step]) > 0
    return [(int((array == at).sum()), int((missed & (array == at)).sum())) for at in range(len(story["arrays"]))]


def contents(story: dict[str, Any], step: int) -> list[int]:
    """Return the line in each slot of the cache after `step` accesses, -1 where there is none."""
    held = [-1] * (story["sets"] * story["ways"])
    for access, slot, line in story["touches"]:
        if access >= step:
            break
        held[slot] = line
    return held


def cache_words(story: dict[str, Any]) -> str:
    """Return the shape of the cache in words.

    >>> cache_words({"sets": 4, "ways": 1, "line_bytes": 64})
    '4 sets x 1 way, lines of 64 bytes'
    """
    sets, ways = several(story["sets"], "set", "sets"), several(story["ways"], "way", "ways")
    return f"{sets} x {ways}, lines of {story['line_bytes']} bytes"


def several(count: int, one: str, more: str) -> str:
    """Return a number with its word.

    >>> several(1, "miss", "misses"), several(2048, "miss", "misses")
    ('1 miss', '2,048 misses')
    """
    return f"{count:,} {one if count == 1 else more}"


def draw(story: dict[str, Any]) -> Any:
    """Return the key frames as a matplotlib Figure: the arrays and the cache at each, and the strip below."""
    from matplotlib.figure import Figure

    panels = len(story["arrays"]) + 1
    across = 2 if panels in (2, 4) else 3
    down = ceil(panels / across)
    columns = 3 if panels == 4 else 2
    steps = key_steps(story)
    rows = ceil(len(steps) / columns)
    unit = WIDTH / (columns * across * (1 + GAP))  # inches
    tall = [down * (1 + GAP) * unit + 0.35] * rows + [1.2]
    fig = Figure(figsize=(WIDTH, sum(tall)), layout="constrained")
    grid = fig.add_gridspec(rows + 1, columns, height_ratios=tall)
    for position, step in enumerate(steps):
        _frame(fig.add_subplot(grid[divmod(position, columns)]), story, step, across, unit)
    _strip(fig.add_subplot(grid[rows, :]), story, steps)
    return fig


def _frame(ax: Any, story: dict[str, Any], step: int, across: int, unit: float) -> None:
    held = contents(story, step)
    misses = sum(by > 0 for by in story["served"][:step])
    title = f"after {step:,}: {several(misses, 'miss', 'misses')}"
    ax.set_title(title, fontsize=11, loc="left", fontweight="bold")
    places = [divmod(position, across) for position in range(len(story["arrays"]) + 1)]
    for position, (down, right) in enumerate(places):
        x, y = right * (1 + GAP), -down * (1 + GAP)
        if position < len(story["arrays"]):
            _array(ax, story, position, step, set(held), x, y, unit)
        else:
            _cache(ax, story, held, x, y, unit)
    last = places[-1][0]
    ax.set(xlim=(-0.05, across * (1 + GAP) - 0.2), ylim=(-last * (1 + GAP) - 1.05, 0.2), aspect="equal")
    ax.axis("off")


def _array(
    ax: Any, story: dict[str, Any], position: int, step: int, held: set, x: float, y: float, unit: float
) -> None:
    array = story["arrays"][position]
    lines, columns = np.array(array["lines"]), array["columns"]
    rows = ceil(len(lines) / columns)
    side = 1 / max(rows, columns)
    ax.text(x, y + 0.03, f"{array['name']}  {' x '.join(map(str, array['shape']))}", fontsize=9)
    table = np.full((rows + 2, columns + 2), -1)  # with a rim, so that every cell has four neighbours
    table[1:-1, 1:-1].flat[: len(lines)] = lines
    inner = table[1:-1, 1:-1]
    tinted = [(x + column * side, y - row * side) for row, column in np.argwhere(np.isin(inner, list(held - {-1})))]
    _boxes(ax, tinted, side, side, ARRAY_COLOURS[position % len(ARRAY_COLOURS)])
    upright = [
        [(x + c * side, y - r * side), (x + c * side, y - (r + 1) * side)]
        for r, c in np.argwhere(table[1:-1, :-1] != table[1:-1, 1:])
    ]
    flat = [
        [(x + c * side, y - r * side), (x + (c + 1) * side, y - r * side)]
        for r, c in np.argwhere(table[:-1, 1:-1] != table[1:, 1:-1])
    ]
    _lines(ax, upright + flat, min(1, 8 * unit * side))
    mine = [access for access in range(step) if story["array"][access] == position]
    if mine:
        _mark(ax, story["served"][mine[-1]], story["levels"], story["cells"][mine[-1]], columns, x, y, side, unit)


def _boxes(ax: Any, corners: list[tuple[float, float]], wide: float, high: float, colour: str) -> None:
    """Tint boxes that hang from their upper left corners."""
    from matplotlib.collections import PolyCollection

    boxes = [[(x, y), (x + wide, y), (x + wide, y - high), (x, y - high)] for x, y in corners]
    ax.add_collection(PolyCollection(boxes, facecolor=colour, alpha=0.55, linewidth=0), autolim=False)


def _lines(ax: Any, segments: list, points: float) -> None:
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(segments, color="0.25", linewidth=points, linestyle="-"), autolim=False)


def _mark(
    ax: Any, served: int, levels: int, cells: list, columns: int, x: float, y: float, side: float, unit: float
) -> None:
    """The last access of an array: a dot for a hit, a cross for a miss, a slash for one that a lower cache served."""
    colour, mark = (HIT, "o") if served == 0 else (MISS, "x") if served == levels else (BETWEEN, "|")
    points = 72 * unit * side
    at = [(x + (cell % columns + 0.5) * side, y - (cell // columns + 0.5) * side) for cell in cells]
    ax.plot(*zip(*at), mark, color=colour, markersize=max(5, 0.6 * points), markeredgewidth=max(1.6, 0.14 * points))


def _cache(ax: Any, story: dict[str, Any], held: list[int], x: float, y: float, unit: float) -> None:
    sets, ways = story["sets"], story["ways"]
    ax.text(x, y + 0.03, f"cache  {sets} x {ways}", fontsize=9)
    wide, high = 1 / ways, min(1 / sets, 0.2)
    corners = [(x + slot % ways * wide, y - slot // ways * high) for slot in range(len(held))]
    for owner in range(-1, len(story["arrays"])):
        mine = [corner for corner, line in zip(corners, held) if line >= 0 and story["owner"][line] == owner]
        _boxes(ax, mine, wide, high, ARRAY_COLOURS[owner % len(ARRAY_COLOURS)] if owner >= 0 else "0.5")
    across = [[(x, y - at * high), (x + 1, y - at * high)] for at in range(sets + 1)]
    upright = [[(x + at * wide, y), (x + at * wide, y - sets * high)] for at in range(ways + 1)]
    _lines(ax, across + upright, min(1, 8 * unit * min(wide, high)))
    for (left, top), line in zip(corners, held):
        if line < 0:
            continue
        name = story["arrays"][story["owner"][line]]["name"] if story["owner"][line] >= 0 else "?"
        for text in (story["label"][line], name):  # the first that fits
            size = min(9, 72 * unit * high * 0.75, 72 * unit * wide / (0.62 * len(text)))
            if size >= 5:
                ax.text(left + wide / 2, top - high / 2, text, fontsize=size, ha="center", va="center")
                break


def _strip(ax: Any, story: dict[str, Any], steps: list[int]) -> None:
    """All accesses in order, misses above and hits below, and where the frames were taken."""
    served = np.array(story["served"])
    at = np.arange(1, len(served) + 1)
    width = min(2.5, 400 / len(served))
    for missed, height, colour in ((True, 1, MISS), (False, 0, HIT)):
        ax.vlines(at[(served > 0) == missed], height - 0.4, height + 0.4, color=colour, linewidth=max(width, 0.4))
    for step in steps:
        ax.plot([step], [1.7], "v", color="black", markersize=6, clip_on=False)
    ax.set(yticks=(0, 1), yticklabels=("hits", "misses"), ylim=(-0.5, 2.1), xlim=(0, len(served) + 1))
    ax.set_xlabel("access (triangles: the frames)", fontsize=11)
    ax.tick_params(labelsize=11)
    ax.grid(False)
