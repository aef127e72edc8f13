"""Dense against sparse: bytes and measured time of W x by density, and the density up to which each kernel wins.

    python tools/sparse_kernels.py                       # three sizes, seven densities: about a minute
    python tools/sparse_kernels.py --size 512 2048 --densities .05 .1 .2 --spread

All kernels run on one thread and are timed in turns, with warm caches (each call is run once before it is timed, so a
small weight is in the cache) and with cold caches (32 MiB of other data are read before each call). "dense" is the
baseline, "torch dense" is torch.mv; both multiply by every zero. Blocks have their zeros in whole blocks, CSR and
bitmap anywhere; 2:4 has one density, .5. A crossover is the density at which the median of the ratios within each turn
reaches 1, followed by the densities at which their 90th and their 10th percentile do, each interpolated on logarithmic
scales.
"""

import argparse
from time import perf_counter

from mini_lib import native
from mini_lib.prune.sparse import KERNELS, sweep_kernels
from mini_lib.prune.sparse.compare import CACHES
from mini_lib.prune.sparse.crossover import DENSITIES

SIZES = ((300, 784), (1024, 1024), (4096, 4096))  # 0.9 MB, 4 MB, 64 MB in fp32
LARGE = 2**23  # this many weights fit in no cache, and fewer turns are enough, since a call takes milliseconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="only this size")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES)
    parser.add_argument("--kernels", nargs="+", default=KERNELS, metavar="KERNEL", help=", ".join(KERNELS))
    parser.add_argument("--caches", nargs="+", choices=CACHES, help="the default is both; for large sizes only cold")
    parser.add_argument("--turns", type=int, default=50, help="how often each is timed; a fifth for large sizes")
    parser.add_argument("--spread", action="store_true", help="also print the spread of every time")
    given = parser.parse_args()
    started_s = perf_counter()
    print(f"{native.find_compiler().version}, {' '.join(native.native_flags())}")
    sizes = (tuple(given.size),) if given.size else SIZES
    for rows, columns in sizes:
        large = rows * columns >= LARGE
        turns = max(1, given.turns // 5) if large else given.turns
        for caches in given.caches or (["cold"] if large else CACHES):
            sweep = sweep_kernels(
                rows, columns, sorted(given.densities), kernels=given.kernels, repeats=turns, caches=caches
            )
            print(f"\n{caches} caches, {turns} turns\n{sweep}")
            if given.spread:
                print(*(f"\ndensity {one.density:g}\n{one}" for one in sweep.comparisons), sep="\n")
    print(f"\n{perf_counter() - started_s:.0f} s in total")


if __name__ == "__main__":
    main()
