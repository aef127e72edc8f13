"""How far an engine stays below the limits of a device: a few constants, each with its reason.

The engines that were fitted to published rows are in `engines.py`.
"""

from dataclasses import dataclass

from mini_lib.require import checked, not_negative, of_type, share


@dataclass(frozen=True)
class Efficiency:
    """The shares of a device's limits that an engine reaches, and its overheads.

    - `matmul_16`, `matmul_8`, `matmul_4`: the share of the peak that large matrix products reach. With fewer bits the
      share is smaller: the power limit is the same, and scaling adds work, but the peak is higher.
    - `experts`: of that rate, the share that the products of experts reach. Each expert gets a few of the tokens,
      which must first be sorted by expert.
    - `bandwidth`: the share of the memory bandwidth that long reads reach.
    - `launch_s`, `prefill_launch_s`: seconds per layer in which nothing is computed, while kernels are started. A
      prompt takes more: shapes change from prompt to prompt, so the starts cannot be recorded and replayed.
    - `collective_s`: seconds per hop of an exchange among devices, however little data it carries.
    - `link`: the share of the link's bandwidth that an exchange reaches. Not fitted: in the published rows the hops
      take so much longer than the data that the rows cannot tell this share from 1.
    - `unpack_ops`: operations on the vector units to turn one packed weight into a number (weight-only formats). 0
      where that is hidden by the reading.
    - `kv_reread`: grouped query heads share keys and values in memory, but a simple decode kernel reads them again for
      each head. 0: never read again. 1: read again for every head.
    - `kv_bandwidth`: the share of `bandwidth` that decoding reaches where it reads keys and values, which lie in small
      blocks, separately for each sequence.
    - `unfused`: the share of the traffic between matrix products (norms, additions, activations) that is not hidden
      inside them. Not fitted: 1 for engines, 0 for the ideal.

    Raises:
        TypeError: a constant is not a number.
        ValueError: a share is outside [0, 1] (or 0 where it divides), or a time is negative.
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
    matmul_4: float = 1.0
    experts: float = 1.0
    kv_bandwidth: float = 1.0

    def __post_init__(self) -> None:
        for name in ("matmul_16", "matmul_8", "matmul_4", "experts", "bandwidth", "kv_bandwidth", "link"):
            checked(self, name, share, fix="1 is the limit of the device")
        for name in ("kv_reread", "unfused"):
            checked(self, name, share, zero=True, fix="0 wastes nothing")
        for name in ("launch_s", "prefill_launch_s", "collective_s", "unpack_ops"):
            checked(self, name, not_negative, fix="0 costs nothing")


def need_efficiency(value: object) -> Efficiency:
    """Return `value` if it is an `Efficiency`, as an `EngineProfile` is.

    Raises:
        TypeError: it is something else.

    >>> need_efficiency("MLX 2025")
    Traceback (most recent call last):
    TypeError: efficiency must be of type Efficiency, got 'MLX 2025'; find_engine('MLX 2025') gives one
    """
    return of_type("efficiency", value, Efficiency, fix="find_engine('MLX 2025') gives one")


IDEAL = Efficiency(1, 1, 1, 1, 0, 0, 0, 0, 0, unfused=0)
"""The limits of the device themselves: nothing can be faster."""
