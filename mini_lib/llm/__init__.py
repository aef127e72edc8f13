"""Large language models: what a token costs and how fast it comes (`cost`), a service under load (`serving`), the
prices of tokens (`prices`), published speeds (`published`), and a small model that runs (`model`).

Only `model` imports torch."""
