"""What tokens are sold for: list prices since 2023, how they fell and rose, and in what time they halve.

`table` reads the table, `choose` picks a price on a day, `moves` lists falls and rises, `halving` fits a line.
These are list prices: no quality is held constant, and what a customer with a contract pays is not known.
"""

from mini_lib.llm.prices.choose import blended_usd, cheapest, of_models, price_on, running_minimum, sold_over_made
from mini_lib.llm.prices.halving import HalvingTime, blended_points, bootstrap_halving_time, halving_time
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
from mini_lib.llm.prices.table import Price, day, history, parse_prices
