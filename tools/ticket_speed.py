"""How fast a study of lottery tickets trains its nets: one by one, as one batched model, in one process per core.

    python tools/ticket_speed.py               # 400 steps of LeNet-300-100, batches of 60: about two minutes
    python tools/ticket_speed.py --steps 100 --repeats 3 --together 4 12 40

All ways are timed in turns. A time is the median over the turns, with the 10th and the 90th percentile; a ratio is the
median of the ratios within each turn.
"""

import argparse
import os

import torch

from mini_lib.prune.tickets import Recipe
from studies.tickets.speed import compare_ways


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="steps of each training")
    parser.add_argument("--repeats", type=int, default=5, help="how often each way is timed")
    parser.add_argument("--together", type=int, nargs="+", default=(4, 12), help="how many nets are one batched model")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="of the last way; by default one per core"
    )
    given = parser.parse_args()
    ways = compare_ways(
        Recipe(steps=given.steps), together=tuple(given.together), processes=given.processes, repeats=given.repeats
    )

    print(
        f"LeNet-300-100, batches of 60, {given.steps} steps, a fifth of the weights kept; {given.repeats} turns, "
        f"{torch.get_num_threads()} threads where one process does it all\n"
    )
    width = max(len(way.name) for way in ways)
    print(f"{'way':{width}}  {'nets':>4}  {'s per net':>20}  {'times one by one':>16}")
    for way in ways:
        time = way.time_s
        seconds = f"{time.median_s:.3f} ({time.low_s:.3f}-{time.high_s:.3f})"
        print(f"{way.name:{width}}  {way.nets:4}  {seconds:>20}  {way.times_faster_than(ways[0]):16.2f}")
    print(f"\nfastest: {min(ways, key=lambda way: way.time_s.median_s).name}")


if __name__ == "__main__":
    main()
