"""The kernels and schedules that are compared with cachegrind: each kernel in six or more."""

from collections.abc import Iterator

from mini_lib.loops import (
    Nest,
    conv2d,
    depthwise_conv2d,
    gauss_seidel,
    jacobi,
    matmul,
    mttkrp,
    pointwise_chain,
    reduction,
    softmax,
    transpose,
)


def cases() -> Iterator[tuple[str, str, Nest]]:
    """Every case as (kernel, schedule, nest). Sizes give 10,000 to 300,000 accesses each."""
    for kernel, schedules in _all().items():
        for schedule, nest in schedules.items():
            yield kernel, schedule, nest


def _all() -> dict[str, dict[str, Nest]]:
    return {
        "matmul": _matmul(),
        "conv2d": _conv2d(),
        "depthwise_conv2d": _depthwise(),
        "transpose": _transpose(),
        "jacobi": _jacobi(),
        "gauss_seidel": _gauss_seidel(),
        "softmax": _softmax(),
        "pointwise_chain": _pointwise(),
        "mttkrp": _mttkrp(),
        "reduction": _reduction(),
    }


def _matmul() -> dict[str, Nest]:
    plain = matmul(40, 40, 40, dtype="f64")
    return {
        "m n k": plain,
        "m k n": plain.reorder("m k n"),
        "n k m": plain.reorder("n k m"),
        "k m n": plain.reorder("k m n"),
        "tile 8": plain.tile("m n k", 8),
        "guarded tile 12": plain.tile("m n", 12, guard=True),
        "columns of B": plain.layout("B", (1, 0)),
        "padded B": plain.pad("B", axis=1, elements=3),
        "C in registers": plain.unroll_and_jam("m", 4).cache_write("C", at="n", scope="register"),
        "B in scratch": plain.tile("n k", 8).reorder("n.o k.o m").cache_read("B", at="k.o"),
        "vector": plain.reorder("m k n").split("n", 4).vectorize("n.i"),
    }


def _conv2d() -> dict[str, Nest]:
    plain = conv2d(4, 4, 14, 14)
    return {
        "o y x c dy dx": plain,
        "y x o": plain.reorder("y x o"),
        "o x y": plain.reorder("x y"),
        "o c dy dx y x": plain.reorder("c dy dx y x"),
        "tile 7": plain.tile("y x", 7),
        "unrolled window": plain.unroll("dx").unroll("dy"),
        "padded X": plain.pad("X", axis=2, elements=4),
        "Y in a register": plain.cache_write("Y", at="x", scope="register"),
    }


def _depthwise() -> dict[str, Nest]:
    plain = depthwise_conv2d(6, 28, 28, dtype="f64")
    return {
        "c y x dy dx": plain,
        "y x c": plain.reorder("y x c"),
        "c x y": plain.reorder("x y"),
        "c dy dx y x": plain.reorder("dy dx y x"),
        "tile 7": plain.tile("y x", 7),
        "fused y.x": plain.fuse("y x"),
        "channels last": plain.layout("X", (1, 2, 0)).layout("Y", (1, 2, 0)),
        "vector": plain.reorder("dy dx x").split("x", 4).vectorize("x.i"),
    }


def _transpose() -> dict[str, Nest]:
    plain = transpose(128, 128)
    return {
        "m n": plain,
        "n m": plain.reorder("n m"),
        "tile 8": plain.tile("m n", 8),
        "tile 32": plain.tile("m n", 32),
        "guarded tile 24": plain.tile("m n", 24, guard=True),
        "padded": plain.pad("B", axis=1, elements=16).pad("A", axis=1, elements=16),
        "by columns": plain.layout("B", (1, 0)),
        "unrolled by 4": plain.split("n", 4).unroll("n.i"),
    }


def _jacobi() -> dict[str, Nest]:
    plain = jacobi(98, 98)
    return {
        "i j": plain,
        "j i": plain.reorder("j i"),
        "tile 16": plain.tile("i j", 16),
        "guarded tile 20": plain.tile("i j", 20, guard=True),
        "fused": plain.fuse("i j"),
        "peeled": plain.peel("i", 2),
        "skewed": plain.skew("j", by="i").reorder("j.s i"),
        "vector": plain.split("j", 8).vectorize("j.i"),
    }


def _gauss_seidel() -> dict[str, Nest]:
    plain = gauss_seidel(129, 129)
    return {
        "i j": plain,
        "skewed": plain.skew("j", by="i"),
        "wavefront": plain.skew("j", by="i").reorder("j.s i"),
        "split rows": plain.split("i", 16),
        "split columns": plain.split("j", 24, guard=True),
        "peeled": plain.peel("i", 1),
        "padded": plain.pad("A", axis=1, elements=8),
        "unrolled by 4": plain.split("j", 4).unroll("j.i"),
    }


def _softmax() -> dict[str, Nest]:
    plain = softmax(64, 64)
    one_pass = plain.fusion("a", "b").fusion("a", "d").fusion("a", "e").fusion("a", "g")
    return {
        "six nests": plain,
        "columns first": plain.reorder("c b").reorder("f e").reorder("h g").reorder("j i"),
        "maximum fused": plain.fusion("a", "b"),
        "five in one": one_pass,
        "all in one": one_pass.fusion("a", "i"),
        "padded": plain.pad("E", axis=1, elements=16).pad("X", axis=1, elements=16),
        "split rows": plain.split("e", 8).split("i", 8),
    }


def _pointwise() -> dict[str, Nest]:
    plain = pointwise_chain(16384)
    return {
        "two loops": plain,
        "one loop": plain.fusion("i", "j"),
        "in blocks": plain.split("i", 256).split("j", 256).fusion("i.o", "j.o"),
        "computed at": plain.compute_at("i", "j"),
        "double buffer": plain.split("i", 64).cache_read("X", at="i.o").double_buffer("i.o", "X.scratch"),
        "unrolled by 8": plain.split("i", 8).unroll("i.i").split("j", 8).unroll("j.i"),
        "vector": plain.split("i", 8).vectorize("i.i").split("j", 8).vectorize("j.i"),
    }


def _mttkrp() -> dict[str, Nest]:
    plain = mttkrp(10, 12, 14, 16, dtype="f64")
    return {
        "i k l j": plain,
        "i k j l": plain.reorder("j l"),
        "j i k l": plain.reorder("j i k l"),
        "k l i j": plain.reorder("k l i j"),
        "tile 2": plain.tile("i k", 2),
        "D in registers": plain.split("j", 4)
        .reorder("i j.o k l j.i")
        .unroll("j.i")
        .cache_write("D", at="j.o", scope="register"),
        "vector": plain.split("j", 4).vectorize("j.i"),
    }


def _reduction() -> dict[str, Nest]:
    plain = reduction(32768)
    return {
        "i": plain,
        "in blocks": plain.split("i", 512),
        "guarded blocks": plain.split("i", 500, guard=True),
        "unrolled by 8": plain.split("i", 8).unroll("i.i"),
        "sum in a register": plain.split("i", 64).cache_write("s", at="i.o", scope="register"),
        "copied first": plain.split("i", 256).cache_read("x", at="i.o"),
        "peeled": plain.peel("i", 5),
    }
