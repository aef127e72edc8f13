"""What a nest does to memory, step by step, for the cache animation."""

import numpy as np

from mini_lib.loops.caches.cache import Cache, Trace, simulate_plain
from mini_lib.loops.caches.count import count_accesses
from mini_lib.loops.caches.trace import check_bases, instance_accesses
from mini_lib.loops.ir import Program
from mini_lib.loops.meaning.walk import walk
from teach.widgets.access_log import MOST_ACCESSES, AccessLog, LoggedArray


def log_of(nest: Program, *caches: Cache) -> AccessLog:
    """Run a nest on caches that are empty at first, and keep for each access its element and who served it.

    Each buffer in memory starts at a multiple of 64 bytes, one after the other. Registers do not appear.

    Raises:
        ValueError: more than 4,096 accesses, or arrays too large to draw; no cache.

    >>> from mini_lib.loops import transpose
    >>> log = log_of(transpose(2, 2), Cache(128, ways=2))
    >>> log.index.tolist(), log.served_by.tolist()     # A[0, 0], B[0, 0], A[0, 1], B[1, 0], ...: a line for each array
    ([0, 0, 1, 2, 2, 1, 3, 3], [1, 1, 0, 0, 0, 0, 0, 0])
    """
    count = count_accesses(nest)
    if not 0 < count <= MOST_ACCESSES:
        raise ValueError(
            f"{nest.name} makes {count:,} accesses in memory, and an animation shows 1 to {MOST_ACCESSES:,}; "
            "make the sizes smaller, such as matmul(8, 8, 8)"
        )
    bases = check_bases(nest, None)
    buffers = [buffer for buffer in nest.buffers if buffer.name in bases]
    arrays = tuple(LoggedArray(one.name, one.shape, one.element_bytes, bases[one.name], one.strides) for one in buffers)
    element = {
        int(address): (position, index)
        for position, array in enumerate(arrays)
        for index, address in enumerate(array.addresses())
    }
    widths = {position: array.element_bytes for position, array in enumerate(arrays)}
    names = nest.loop_names
    accesses, steps, loops = [], [], []
    for instance in walk(nest):
        made = list(instance_accesses(instance, nest, bases))
        accesses += made
        steps += [len(loops)] * len(made)
        if made:
            loops.append(tuple(instance.points[0].get(name) for name in names))
    trace = Trace.of(accesses)
    served = simulate_plain(trace, caches, record=True).served_by
    found = [element[address] for address in trace.addresses.tolist()]
    wide = [size // widths[array] for size, (array, _) in zip(trace.sizes.tolist(), found, strict=True)]
    return AccessLog(
        arrays,
        np.array([array for array, _ in found]),
        np.array([index for _, index in found]),
        trace.addresses,
        trace.writes,
        served - 1,  # the animation counts levels from 0
        np.array(steps),
        tuple(loops),
        names,
        np.array(wide),
    )
