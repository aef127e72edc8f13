"""How long the calculator's panel takes to respond when a control moves: the numbers, the words and the picture.

    python tools/panel_speed.py                # every control over all its values, 20 times: about 20 seconds
    python tools/panel_speed.py --repeats 5 --model DeepSeek-V3 --device B200

Each control is moved over its values while the others stay. A time is that of Python, from the position of the controls
to the text that is sent to the browser. The bound is 50 ms; a longer time is noticed as a delay.
"""

import argparse
import time

import numpy as np

from teach.widgets.calculator import Calculator, calculator

BOUND_S = 0.05


def answers_s(panel: Calculator, name: str, repeats: int) -> list[float]:
    """Return the seconds of each answer while the control `name` is moved over its values `repeats` times."""
    taken = []
    for _ in range(repeats):
        for position in range(len(panel.choices[name])):
            start = time.perf_counter()
            panel.answer({name: position})
            taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="LLaMA-3-8B")
    parser.add_argument("--device", default="H100-SXM-80GB")
    parser.add_argument("--repeats", type=int, default=20, help="how often each value is set")
    given = parser.parse_args()
    panel = calculator(model=given.model, device=given.device)
    panel.answer({})  # the first answer imports and compiles

    print(f"{'control':<10} {'values':>6} {'answers':>8} {'median ms':>10} {'95 % ms':>8} {'slowest ms':>10}")
    everything = []
    for name, values in panel.choices.items():
        taken = answers_s(panel, name, given.repeats)
        everything += taken
        median, high = np.percentile(taken, (50, 95)) * 1e3
        print(f"{name:<10} {len(values):6} {len(taken):8} {median:10.2f} {high:8.2f} {max(taken) * 1e3:10.2f}")
    late = sum(seconds > BOUND_S for seconds in everything)
    print(f"\n{len(everything)} answers, {late} of them later than {BOUND_S * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
