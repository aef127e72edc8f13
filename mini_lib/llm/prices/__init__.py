"""The prices of tokens: list prices since 2023, their falls and rises, and the price of a given quality.

`table` reads the prices, `choose` picks one on a day, `moves` lists falls and rises, `halving` fits a line. `scores`
and `aliases` say how good the model behind a name was on a day. `quality` joins them with the prices, `falls` and
`hedonic` measure the fall at constant score, `others` has the results of other studies, `speed` the speeds at which
tokens are sold, `axes` the data of one figure. These are list prices: the price of a customer with a contract is not
known.
"""

from mini_lib.llm.prices.aliases import Alias, name_moves, parse_aliases, snapshot_on
from mini_lib.llm.prices.axes import SpeedAtScore, ThreeAxes, best_scores, speeds_at_scores, three_axes
from mini_lib.llm.prices.choose import blended_usd, cheapest, of_models, price_on, running_minimum, sold_over_made
from mini_lib.llm.prices.falls import LEVELS, SAME_POINTS, Fall, fall_at_least, level_percent
from mini_lib.llm.prices.halving import HalvingTime, blended_points, bootstrap_halving_time, halving_time
from mini_lib.llm.prices.hedonic import Hedonic, by_model, by_provider, hedonic_fit
from mini_lib.llm.prices.moves import (
    CLAUDE_HAIKU,
    GEMINI_FLASH,
    OPEN_8B,
    OPEN_70B,
    OPENAI_LARGE,
    OPENAI_SMALL,
    Change,
    changes,
)
from mini_lib.llm.prices.others import A16Z_2024, EPOCH_2025, PublishedFall
from mini_lib.llm.prices.quality import Scored, cheapest_at_least, lows_at_least, scored, scored_history
from mini_lib.llm.prices.scores import Score, by_snapshot, five_shot_first, mmlu_scores, parse_scores, reasoning_first
from mini_lib.llm.prices.speed import SoldSpeed, parse_speeds, sold_speeds
from mini_lib.llm.prices.table import Price, day, history, parse_prices
