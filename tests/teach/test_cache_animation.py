"""The cache animation: the replay against two other caches, the sentences, the picture without a kernel, refusals."""

import io
import json

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mini_lib.loops.caches.cache import Cache, Trace, simulate_plain
from teach import live
from teach.widgets import cache_animation, cache_frames
from teach.widgets.access_log import AccessLog, LoggedArray
from teach.widgets.cache_animation import animate, replay

matplotlib.use("Agg")
VIEW = "application/vnd.jupyter.widget-view+json"
FOUR_LINES = Cache(4 * 64, ways=1)


def walk(order, missed=None, **changes):
    """A matrix of 8 x 8 doubles that begins at a line and fills one with each row, walked by rows or by columns."""
    at = [(i, j) for i in range(8) for j in range(8)]
    at = at if order == "rows" else [(j, i) for i, j in at]
    index = [8 * i + j for i, j in at]
    if missed is None:  # by hand: by rows the first of each row; by columns, 8 lines take turns in a cache of 4
        missed = [order == "columns" or j == 0 for _, j in at]
    given = dict(
        arrays=(("A", (8, 8), 8, 4096, (8, 1)),),
        array=[0] * 64,
        index=index,
        address=[4096 + 8 * each for each in index],
        is_write=[False] * 64,
        served_by=missed,
        step=range(64),
        loops=at,
        loop_names=("i", "j"),
    )
    return AccessLog(**given | changes)


def log_of(spans_bytes, served_by, element_bytes=4, count=4096):
    """Reads of one vector at address 0: (address, how many elements)."""
    addresses, elements = zip(*spans_bytes)
    return AccessLog(
        (("v", (count,), element_bytes, 0, (1,)),),
        [0] * len(addresses),
        [each // element_bytes for each in addresses],
        addresses,
        [False] * len(addresses),
        served_by,
        range(len(addresses)),
        [()] * len(addresses),
        (),
        elements,
    )


# --- hits and misses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "misses"), [("rows", 8), ("columns", 64)])
def test_a_matrix_by_rows_and_by_columns(order, misses):
    shown = animate(walk(order), FOUR_LINES)
    assert shown.totals == f"{misses} misses in 64 accesses (A {misses} of 64)"
    assert cache_frames.counts(shown.story, 64) == [(64, misses)]
    assert cache_frames.counts(shown.story, 9) == [(9, 2 if order == "rows" else 9)]


def test_with_two_ways_eight_lines_fit_and_the_columns_miss_only_at_first():
    missed = [access < 8 for access in range(64)]
    shown = animate(walk("columns", missed), Cache(8 * 64, ways=2))
    assert shown.totals == "8 misses in 64 accesses (A 8 of 64)"


class Lru:
    """One set as a list of its lines, the latest last: the definition, with no thought of speed or of slots."""

    def __init__(self, ways):
        self.lines, self.ways = [], ways

    def use(self, line):
        hit = line in self.lines
        self.lines = ([other for other in self.lines if other != line] + [line])[-self.ways :]
        return hit


SHAPES = st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 5))
SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 2)).map(lambda at: (at[0], at[0] + at[1])), min_size=1, max_size=80
)


@given(SHAPES, SPANS)
def test_the_replay_is_that_of_a_list_of_lines(shape, spans):
    sets, ways = shape
    model = [Lru(ways) for _ in range(sets)]
    touches, missed = replay(spans, sets, ways)
    held, position = {}, 0
    for access, (first, last) in enumerate(spans):
        hits = []
        for line in range(first, last + 1):
            hits.append(model[line % sets].use(line))
            at, slot, touched = touches[position]
            assert (at, touched, slot // ways) == (access, line, line % sets)
            held[slot] = line
            position += 1
        assert missed[access] == (not all(hits))
        for number, one_set in enumerate(model):  # what the slots hold is what the lists hold
            assert sorted(line for slot, line in held.items() if slot // ways == number) == sorted(one_set.lines)
    assert position == len(touches)


@given(SHAPES, st.lists(st.tuples(st.integers(0, 400), st.integers(1, 20)), min_size=1, max_size=60))
def test_the_replay_is_that_of_the_simulator(shape, spans):
    sets, ways = shape
    cache = Cache(sets * ways * 64, ways=ways)
    addresses = np.array([4 * at for at, _ in spans])
    trace = Trace(addresses, np.array([4 * count for _, count in spans]), np.zeros(len(spans), bool))
    served_by = simulate_plain(trace, cache, record=True).served_by - 1
    shown = animate(log_of([(4 * at, count) for at, count in spans], served_by), cache)  # raises where they differ
    assert shown.story["served"] == served_by.tolist()


# --- what is sent, and what is said ----------------------------------------------------------------------------------


def test_the_story_is_json_and_says_what_happens():
    story = animate(walk("columns"), FOUR_LINES).story
    assert json.loads(json.dumps(story)) == story
    assert story["said"][0] == "read A[0, 0]: miss, comes from memory"
    assert story["said"][4] == "read A[4, 0]: miss, comes from memory; evicts A[0, 0:8]"
    assert story["loops"][10] == "i = 2, j = 1"
    assert story["label"] == [f"A[{row}, 0:8]" for row in range(8)]
    assert story["arrays"][0]["lines"] == [row for row in range(8) for _ in range(8)]


def test_padding_and_a_start_in_the_middle_of_a_line_move_the_lines():
    # Rows of 6 floats, 8 apart, from byte 32 of a line: two rows share a line, but the first has one for itself.
    array = LoggedArray("A", (3, 6), 4, 32, (8, 1))
    index, address = [0, 6, 12], [32, 64, 96]
    log = AccessLog(
        (array,), [0] * 3, index, address, [True] * 3, [1, 1, 0], range(3), [(i,) for i in range(3)], ("i",)
    )
    story = animate(log, FOUR_LINES).story
    assert story["arrays"][0]["lines"] == [0] * 6 + [1] * 12
    assert story["label"] == ["A[0, 0:6]", "A[1, 0]..."]
    assert story["said"] == [
        "write A[0, 0]: miss, comes from memory",
        "write A[1, 0]: miss, comes from memory",
        "write A[2, 0]: hit",
    ]


def test_a_vector_access_takes_its_elements_and_may_need_two_lines():
    # 8 floats from byte 48: four in line 0, four in line 1, which was not there.
    story = animate(log_of([(0, 1), (48, 8)], [1, 1]), FOUR_LINES).story
    assert story["cells"] == [[0], list(range(12, 20))]
    assert [touch[2] for touch in story["touches"]] == [0, 0, 1]
    assert story["said"][1] == "read v[12] and 7 more: miss, comes from memory"


def test_a_transposed_array_takes_its_vector_down_a_column():
    array = ("A", (4, 2), 4, 0, (1, 4))  # columns side by side
    log = AccessLog((array,), [0], [1], [16], [False], [1], [0], [(0,)], ("j",), [4])
    assert animate(log, FOUR_LINES).story["cells"] == [[1, 3, 5, 7]]


def test_lower_levels_are_told_apart_and_a_loop_that_is_not_around_is_left_out():
    log = walk("columns", [2] * 8 + [1] * 56, loops=[(None, access) for access in range(64)])
    story = animate(log, FOUR_LINES, Cache(16 * 64, ways=4)).story
    assert story["said"][7] == "read A[7, 0]: miss, comes from memory; evicts A[3, 0:8]"
    assert story["said"][8] == "read A[0, 1]: miss, comes from level 2; evicts A[4, 0:8]"
    assert story["loops"][3] == "j = 3"


@pytest.mark.parametrize(("shape", "columns"), [((5,), 5), ((40,), 16), ((4096,), 64), ((2, 3, 4), 4)])
def test_every_array_is_shown_in_two_dimensions(shape, columns):
    count = int(np.prod(shape))
    strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    log = AccessLog((("A", shape, 4, 0, strides),), [0], [count - 1], [4 * count - 4], [False], [1], [0], [()], ())
    assert animate(log, FOUR_LINES).story["arrays"][0]["columns"] == columns


# --- as an output ----------------------------------------------------------------------------------------------------


def test_the_live_form_carries_the_story_and_begins_at_no_access(monkeypatch):
    monkeypatch.setattr(live, "has_kernel", lambda: True)
    shown = animate(walk("rows"), FOUR_LINES)
    made = shown.widget()
    assert (made.step, made.story) == (0, shown.story)
    assert made.story["array_colours"][0] == "#009e73"
    output = shown._repr_mimebundle_()
    assert set(output) == {VIEW, "text/plain", "text/html"}
    assert output["text/plain"] == repr(shown)


def test_without_a_kernel_six_frames_with_alternative_text():
    shown = animate(walk("rows"), FOUR_LINES)
    output = shown._repr_mimebundle_()
    assert set(output) == {"text/plain", "text/html"}
    # By hand: a miss at the accesses 1, 9, 17, ...
    words = (
        "A cache of 4 sets x 1 way, lines of 64 bytes: 8 misses in 64 accesses (A 8 of 64). "
        "Misses so far in each frame: after 1, 1; after 4, 1; after 8, 1; after 16, 2; after 32, 4; after 64, 8."
    )
    assert shown.alt == words and f'alt="{words}"' in output["text/html"]
    assert output["text/html"].endswith("<p>8 misses in 64 accesses (A 8 of 64).</p>")


def test_the_frames_show_the_lines_that_are_in_the_cache():
    story = animate(walk("columns"), FOUR_LINES).story
    assert cache_frames.contents(story, 0) == [-1] * 4
    assert cache_frames.contents(story, 3) == [0, 1, 2, -1]
    assert cache_frames.contents(story, 6) == [4, 5, 2, 3]
    assert cache_frames.contents(story, 64) == [4, 5, 6, 7]


def test_the_picture_holds_the_colours_of_the_arrays_and_of_misses(monkeypatch):
    kept = []
    monkeypatch.setattr(cache_animation.figures, "image", lambda png, alt: kept.append(png) or "")
    animate(walk("columns"), FOUR_LINES).static_html()
    picture = np.asarray(Image.open(io.BytesIO(kept[0])).convert("RGB")).astype(int)
    for colour, opacity in ((cache_frames.ARRAY_COLOURS[0], 0.55), (cache_frames.MISS, 1)):
        rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
        # The palette has 256 colours for a picture of few: within 8 of 255 is the same colour.
        near = np.abs(picture - (opacity * rgb + (1 - opacity) * 255)).max(axis=-1) <= 8
        assert near.mean() > 0.001
    assert len(kept[0]) < 200_000


def test_the_frames_do_not_overflow_for_one_to_five_arrays_and_one_access():
    for count in range(1, 6):
        arrays = tuple((f"A{at}", (4, 4), 4, 64 * at, (4, 1)) for at in range(count))
        log = AccessLog(arrays, [0], [0], [0], [False], [1], [0], [(0,)], ("i",))
        figure = cache_frames.draw(animate(log, FOUR_LINES).story)
        assert len(figure.axes) == len(cache_frames.key_steps({"array": [0]})) + 1 == 2


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(array=[]), "the log has 0 accesses, expected 1 to 4,096; log a nest that reads or writes an array"),
        (dict(array=[0] * 5000), "the log has 5,000 accesses, expected 1 to 4,096; make the sizes smaller"),
        (
            dict(arrays=(("A", (256, 256), 8, 4096, (256, 1)),)),
            "the arrays have 65,536 elements, expected at most 16,384; make",
        ),
        (dict(index=[0]), "array has 64 accesses, but the others {'index': 1,"),
        (dict(step=[64] * 64), "step goes to 64, but loops has 64 steps; give one for each"),
        (dict(loop_names=("i",)), r"each step needs one value for each loop of \('i',\); use None"),
        (dict(array=[1] * 64), "array goes to 1, but there are 1 arrays; list them all"),
        (dict(served_by=[-1] * 64), "elements must be 1 or more and served_by 0 or more"),
        (
            dict(index=[64] * 64),
            "index goes from 64 to 64, but A has 64 elements; count them in row-major order from 0",
        ),
        (
            dict(address=[4096] * 64),
            "access 1 has address 4096, but A has element 1 at 4104; base_address and strides must be",
        ),
    ],
)
def test_a_log_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        walk("rows", **changes)


@pytest.mark.parametrize(
    ("caches", "message"),
    [
        ((), "animate got no cache; give the levels that the log was made with"),
        ((Cache(1 << 20, ways=16),), "the cache has 16,384 lines, expected at most 512; animate a smaller cache"),
        (
            (Cache(8 * 64, ways=2),),
            "access 8 is a hit in a cache of 4 sets x 2 ways, but served_by says 1; give the cache that",
        ),
    ],
)
def test_a_cache_that_is_not_the_logs_is_refused(caches, message):
    with pytest.raises(ValueError, match=message):
        animate(walk("columns"), *caches)


def test_a_log_of_more_levels_than_are_given_is_refused():
    with pytest.raises(
        ValueError, match="served_by goes to 2, but with 1 levels memory is 1; give animate every level"
    ):
        animate(walk("columns", [2] * 64), FOUR_LINES)
