"""How long the serving simulator takes for 100,000 requests, below and above the capacity of the device.

    python tools/serving_speed.py                    # Llama-3-8B on an H100: about half a minute
    python tools/serving_speed.py --requests 10000 --rates 5 20 --repeats 5 --model Llama-2-7B

The lengths are random: prompts with a median of 400 tokens and answers with a median of 200, both up to ten times as
long. A time is the median of the repeats, with the fastest and the slowest in brackets, and includes making the
requests. `Little` is how far L is from lambda W.
"""

import argparse
from statistics import median
from time import perf_counter

from mini_lib.llm.cost import ENGINE_2023, Workload, find_device, find_model
from mini_lib.llm.serving import calculator_timing, kv_room_tokens, lognormal_lengths, poisson_arrivals, simulate


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000, help="how many requests")
    parser.add_argument("--rates", type=float, nargs="+", default=(5, 20, 40), help="requests per second")
    parser.add_argument("--kv-tokens", type=int, help="room in the KV cache; by default the room left on the device")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is timed")
    parser.add_argument("--model", default="Llama-3-8B")
    parser.add_argument("--device", default="H100-SXM-80GB")
    given = parser.parse_args()
    model, device, workload = find_model(given.model), find_device(given.device), Workload(prompt=512, output=256)
    room = given.kv_tokens or kv_room_tokens(model, device, workload)
    lengths = lognormal_lengths(400, 2, 4000), lognormal_lengths(200, 2, 2000)

    print(
        f"{model.name} on {device.name}, {given.requests} requests, room for {room} tokens; {given.repeats} repeats\n"
    )
    print(
        f"{'rate/s':>6}  {'prefill':7}  {'seconds':>20}  {'decode steps':>12}  {'batch':>6}  {'tokens/s':>8}  "
        f"{'sent back':>9}  {'Little':>8}"
    )
    slowest = 0.0
    for rate in given.rates:
        for prefill in ("first", "chunked"):
            times = []
            for _ in range(given.repeats):
                # a new timing, so that nothing is cached from the previous run
                timing = calculator_timing(model, device, workload, ENGINE_2023)
                begin = perf_counter()
                requests = poisson_arrivals(rate, given.requests, *lengths, seed=0)
                served = simulate(requests, timing, kv_tokens=room, prefill=prefill)
                times.append(perf_counter() - begin)
            slowest = max(slowest, *times)
            seconds = f"{median(times):.2f} ({min(times):.2f}-{max(times):.2f})"
            print(
                f"{rate:6g}  {prefill:7}  {seconds:>20}  {served.totals.decode_steps:12}  {served.mean_batch:6.1f}  "
                f"{served.tokens_per_s:8.0f}  {served.preemptions.sum():9}  {served.little_error:8.1e}"
            )
    print(f"\nslowest of all: {slowest:.2f} s")


if __name__ == "__main__":
    main()
