"""animate(log, cache): the accesses of a loop nest, one by one, next to the cache that they fill.

Python replays the cache once and sends the whole story; the browser only draws it (cache_animation.js). The same
output holds key frames for paper, static pages and notebooks without a kernel (cache_frames.py).
"""

from functools import cache as once
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mini_lib.loops.caches.cache import Cache
from teach import figures
from teach.live import bundle
from teach.widgets import cache_frames
from teach.widgets.access_log import AccessLog, LoggedArray

MOST_LINES = 512  # of the cache: 32 KiB in lines of 64 bytes


class CacheAnimation:
    """A cell's output that plays where there is a kernel, and shows key frames where there is none."""

    def __init__(self, story: dict[str, Any]) -> None:
        self.story = story

    def __repr__(self) -> str:
        return f"[{self.alt}]"

    @property
    def totals(self) -> str:
        """Accesses and misses in the first level, of each array and together, in words."""
        said = [
            f"{item['name']} {misses:,} of {count:,}"
            for item, (count, misses) in zip(
                self.story["arrays"], cache_frames.counts(self.story, len(self.story["array"]))
            )
        ]
        served = self.story["served"]
        misses = cache_frames.several(sum(by > 0 for by in served), "miss", "misses")
        return f"{misses} in {cache_frames.several(len(served), 'access', 'accesses')} ({', '.join(said)})"

    @property
    def alt(self) -> str:
        """What the key frames show, in words."""
        at = cache_frames.key_steps(self.story)
        so_far = [sum(by > 0 for by in self.story["served"][:count]) for count in at]
        frames = "; ".join(f"after {count:,}, {misses:,}" for count, misses in zip(at, so_far))
        return (
            f"A cache of {cache_frames.cache_words(self.story)}: {self.totals}. Misses so far in each frame: {frames}."
        )

    def static_html(self) -> str:
        """Return the key frames as an HTML image, and the totals under it."""
        with figures.style():
            picture = figures.png(cache_frames.draw(self.story))
        return f"{figures.image(picture, figures.checked_alt(self.alt))}<p>{escape(self.totals)}.</p>"

    def widget(self) -> Any:
        """Build the live form; its trait `step` is how many accesses have been made."""
        return _widget_class()(story=self.story)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return bundle({"text/plain": repr(self), "text/html": self.static_html()}, self.widget)


def animate(log: AccessLog, *caches: Cache) -> CacheAnimation:
    """Show the accesses of a log one by one next to the first of `caches`, as a cell's output.

    `caches` are the levels that the log was made with, from the fastest on. They start empty.

    Raises:
        ValueError: no cache, one too large to draw, or not the caches that the log was made with.
    """
    if not caches:
        raise ValueError("animate got no cache; give the levels that the log was made with: animate(log, L1)")
    sets, ways, line_bytes = caches[0].sets, caches[0].ways, caches[0].line_bytes
    if sets * ways > MOST_LINES:
        raise ValueError(f"the cache has {sets * ways:,} lines, expected at most {MOST_LINES}; animate a smaller cache")
    if log.served_by.max() > len(caches):
        raise ValueError(
            f"served_by goes to {log.served_by.max()}, but with {len(caches)} levels memory is {len(caches)}; "
            "give animate every level that the log was made with"
        )
    size_bytes = np.array([array.element_bytes for array in log.arrays])[log.array] * log.elements
    spans = list(zip((log.address // line_bytes).tolist(), ((log.address + size_bytes - 1) // line_bytes).tolist()))
    touches, missed = replay(spans, sets, ways)
    wrong = np.flatnonzero((log.served_by > 0) != missed)
    if wrong.size:
        raise ValueError(
            f"access {wrong[0]} is a {'miss' if missed[wrong[0]] else 'hit'} in a cache of {sets} sets x {ways} "
            f"ways, but served_by says {log.served_by[wrong[0]]}; give the cache that the log was made with"
        )
    return CacheAnimation(_story(log, touches, sets, ways, line_bytes, len(caches)))


def replay(spans: list[tuple[int, int]], sets: int, ways: int) -> tuple[list[tuple[int, int, int]], np.ndarray]:
    """Replay accesses to lines `first` to `last` in a cache that evicts the least recently used line of a full set.

    Returns (access, slot, line) for each line touched, and whether each access missed. Slot `set * ways + way`
    keeps its line until that is evicted.

    >>> replay([(0, 0), (1, 1), (0, 0), (2, 2)], sets=1, ways=2)[0]
    [(0, 0, 0), (1, 1, 1), (2, 0, 0), (3, 1, 2)]
    """
    slot_of: dict[int, int] = {}
    recent: list[list[int]] = [[] for _ in range(sets)]  # the lines of each set, least recent first
    touches, missed = [], np.zeros(len(spans), bool)
    for access, (first, last) in enumerate(spans):
        for line in range(first, last + 1):
            of_set = recent[line % sets]
            if line in slot_of:
                of_set.remove(line)
            else:
                missed[access] = True
                full = len(of_set) == ways
                slot_of[line] = slot_of.pop(of_set.pop(0)) if full else line % sets * ways + len(of_set)
            of_set.append(line)
            touches.append((access, slot_of[line], line))
    return touches, missed


def _story(log: AccessLog, touches: list, sets: int, ways: int, line_bytes: int, levels: int) -> dict[str, Any]:
    """All that is drawn and said, as JSON; lines are numbered anew, from 0."""
    addresses = [array.addresses() for array in log.arrays]
    lines = {line for _, _, line in touches}.union(*((at // line_bytes).tolist() for at in addresses))
    number = {line: position for position, line in enumerate(sorted(lines))}
    touches = [[access, slot, number[line]] for access, slot, line in touches]
    arrays, owner, label = [], [-1] * len(lines), ["?"] * len(lines)
    for position, (array, at) in enumerate(zip(log.arrays, addresses)):
        line_of = [number[line] for line in (at // line_bytes).tolist()]
        columns = (
            array.shape[-1] if len(array.shape) > 1 else _wrapped(array.shape[0], line_bytes // array.element_bytes)
        )
        arrays.append({"name": array.name, "shape": list(array.shape), "columns": columns, "lines": line_of})
        held: dict[int, list[int]] = {}
        for element, line in enumerate(line_of):
            held.setdefault(line, []).append(element)
        for line, elements in held.items():
            if owner[line] < 0:
                owner[line], label[line] = position, _range(array, elements)
    story = {
        "arrays": arrays,
        "owner": owner,
        "label": label,
        "touches": touches,
        "sets": sets,
        "ways": ways,
        "line_bytes": line_bytes,
        "levels": levels,
        "array": log.array.tolist(),
        "cells": _cells(log, addresses),
        "served": log.served_by.tolist(),
        "step": log.step.tolist(),
        "loops": _loops(log),
        "colours": figures.COLOURS,
        "array_colours": list(cache_frames.ARRAY_COLOURS),
    }
    return story | {"cache": cache_frames.cache_words(story), "said": _sentences(log, story)}


def _wrapped(count: int, in_line: int) -> int:
    """In how many columns a vector is shown: one cache line or more per row, and no tower."""
    columns = max(8, in_line)
    while count > 2 * columns * columns:
        columns *= 2
    return min(count, columns)


def _cells(log: AccessLog, addresses: list[np.ndarray]) -> list[list[int]]:
    """The elements of each access: several where it is a vector, in the order of their addresses."""
    cells = [[index] for index in log.index.tolist()]
    for access in np.flatnonzero(log.elements > 1):
        at, size_bytes = addresses[log.array[access]], log.arrays[log.array[access]].element_bytes
        ahead = (at - log.address[access]) // size_bytes
        taken = np.flatnonzero((ahead >= 0) & (ahead < log.elements[access]))
        cells[access] = taken[np.argsort(at[taken])].tolist()
    return cells


def _loops(log: AccessLog) -> list[str]:
    """The values of the loops at each step: "i = 2, j = 5"."""
    named = [zip(log.loop_names, values) for values in log.loops]
    return [", ".join(f"{name} = {value}" for name, value in each if value is not None) for each in named]


def _sentences(log: AccessLog, story: dict[str, Any]) -> list[str]:
    """What happens at each access: "read A[0, 4]: miss, comes from memory; evicts A[4, 0:8]"."""
    held: dict[int, int] = {}
    leaves: dict[int, list[str]] = {}
    for access, slot, line in story["touches"]:
        if held.get(slot, line) != line:
            leaves.setdefault(access, []).append(story["label"][held[slot]])
        held[slot] = line
    sentences = []
    for access, (cells, by) in enumerate(zip(story["cells"], story["served"])):
        array = log.arrays[log.array[access]]
        index = ", ".join(str(at) for at in np.unravel_index(cells[0], array.shape))
        more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        source = "memory" if by == story["levels"] else f"level {by + 1}"
        served = f"miss, comes from {source}" if by else "hit"
        gone = f"; evicts {' and '.join(leaves[access])}" if access in leaves else ""
        sentences.append(f"{'write' if log.is_write[access] else 'read'} {array.name}[{index}]{more}: {served}{gone}")
    return sentences


def _range(array: LoggedArray, elements: list[int]) -> str:
    """The elements of a line in numpy's words: "A[2, 0:8]", or "A[0, 0]..." where they span rows."""
    first, last = (np.unravel_index(at, array.shape) for at in (min(elements), max(elements)))
    before = "".join(f"{at}, " for at in first[:-1])
    if first[:-1] == last[:-1]:
        return f"{array.name}[{before}{first[-1]}:{last[-1] + 1}]"
    return f"{array.name}[{before}{first[-1]}]..."


@once
def _widget_class() -> type:
    """The anywidget class; made at the first use, since a page without a kernel needs none."""
    import anywidget
    import traitlets

    class CacheWidget(anywidget.AnyWidget):
        _esm = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
        _css = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
        story = traitlets.Dict().tag(sync=True)
        step = traitlets.Int(0).tag(sync=True)

    return CacheWidget
