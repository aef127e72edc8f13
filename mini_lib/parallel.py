"""Tasks wherever joblib sends them: processes here, or other machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from joblib import Parallel


def as_they_are_done(tasks: Iterable[object]) -> Iterator[object]:
    """Run joblib's `delayed` tasks one by one, and give each result when it is done, in any order.

    A `joblib.parallel_config` around the call decides where they run; without it, they run here, one after the other. A
    backend that cannot give results one by one, such as ray's, gives all of them at the end.

    >>> from joblib import delayed
    >>> sorted(as_they_are_done(delayed(abs)(number) for number in (-2, 1)))
    [1, 2]
    """
    try:
        parallel = Parallel(batch_size=1, return_as="generator_unordered")
    except ValueError:
        parallel = Parallel(batch_size=1)
    return iter(parallel(tasks))
