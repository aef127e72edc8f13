"""The cost of a search, counted in pictures: a comparison of two methods is fair only if they cost the same."""

from dataclasses import dataclass

from mini_lib import require


@dataclass(frozen=True)
class Spent:
    """How many pictures passed through a network: in training (forwards and backwards), or in judging (forwards only).

    A picture counts each time it is seen. Add two of them with `+`.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: a count is below 0.

    >>> child = Spent(trained_pictures=80 * 64, judged_pictures=500)                # 80 steps of 64, then 500 pictures
    >>> child + child
    Spent(trained_pictures=10240, judged_pictures=1000)
    """

    trained_pictures: int = 0
    judged_pictures: int = 0

    def __post_init__(self) -> None:
        for name in ("trained_pictures", "judged_pictures"):
            require.checked(self, name, require.whole, low=0, fix="count each picture each time a network sees it")

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.trained_pictures + other.trained_pictures, self.judged_pictures + other.judged_pictures)

    def __str__(self) -> str:
        return f"{self.trained_pictures:,} pictures trained on, {self.judged_pictures:,} judged"
