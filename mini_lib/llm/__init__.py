"""Large language models: what a token costs and how fast it comes (`cost`), a service under load (`serving`), and
what tokens are sold for (`prices`). Nothing here imports torch."""
