"""How far real engines stay behind the limits of a device: a few constants, each with its reason.

They are fitted on half of the published rows by `calibrate.fit_engines()`, and the other half tells the error: see
`tools/llm_error.py`. A test holds that the constants below are what the fit gives.
"""

from dataclasses import dataclass, replace

from mini_lib.require import not_negative, share


@dataclass(frozen=True)
class Efficiency:
    """What an engine makes of a device.

    - `matmul_16`, `matmul_8`: the share of the peak that large matrix products reach. In 8 bits it is less:
      the same power limit, and the work of scaling, meet twice the peak.
    - `bandwidth`: the share of the memory bandwidth that long reads reach.
    - `launch_s`, `prefill_launch_s`: seconds a layer in which nothing is computed, while kernels are started.
      A prompt takes more: its shapes change from one to the next, so the starts cannot be recorded and replayed.
    - `collective_s`: seconds of each hop of an exchange among devices, however little it carries.
    - `link`: the share of the link's bandwidth that an exchange reaches. Not fitted: in the published rows the hops
      outweigh what they carry, so that they cannot tell it from 1.
    - `unpack_ops`: operations on the vector units to turn one packed weight into a number (weight-only formats).
      0 where that is hidden behind the reading.
    - `kv_reread`: grouped query heads share keys and values in memory, but a simple decode kernel reads them
      again for each head. 0: never read again. 1: shared only in storage.
    - `unfused`: the share of the traffic between matrix products (norms, additions, activations) that is not
      hidden inside them. Not fitted: 1 for engines, 0 for the ideal.

    Raises:
        TypeError: a constant is not a number.
        ValueError: a share outside [0, 1] (or 0 where it divides), or a negative time.
    """

    matmul_16: float
    matmul_8: float
    bandwidth: float
    link: float
    launch_s: float
    prefill_launch_s: float
    collective_s: float
    unpack_ops: float
    kv_reread: float
    unfused: float = 1.0

    def __post_init__(self) -> None:
        for name in ("matmul_16", "matmul_8", "bandwidth", "link"):
            share(name, getattr(self, name), fix="1 is the limit of the device")
        for name in ("kv_reread", "unfused"):
            share(name, getattr(self, name), zero=True, fix="0 wastes nothing")
        for name in ("launch_s", "prefill_launch_s", "collective_s", "unpack_ops"):
            not_negative(name, getattr(self, name), fix="0 costs nothing")


IDEAL = Efficiency(1, 1, 1, 1, 0, 0, 0, 0, 0, unfused=0)
"""The limits of the device themselves: nothing can be faster."""

TENSORRT_LLM = Efficiency(
    matmul_16=0.742,
    matmul_8=0.596,
    bandwidth=0.866,
    link=1,
    launch_s=83.2e-6,
    prefill_launch_s=161e-6,
    collective_s=13.0e-6,
    unpack_ops=0,
    kv_reread=0.619,
)
# one kernel that reads from all neighbours at once, instead of a ring of small steps
GPT_FAST = replace(TENSORRT_LLM, collective_s=0)
LLAMA_CPP = TENSORRT_LLM
# weights are unpacked one by one, where CUDA kernels take four in one instruction
LLAMA_CPP_METAL = replace(TENSORRT_LLM, unpack_ops=12.3)

BY_ENGINE = {
    "TensorRT-LLM": TENSORRT_LLM,
    "gpt-fast": GPT_FAST,
    "llama.cpp": LLAMA_CPP,
    "llama.cpp, Metal": LLAMA_CPP_METAL,
}
"""The engines by the names that `published.py` uses."""
