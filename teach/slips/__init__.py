"""Slips that any exercise may meet: a factor, a rounding, a sign, an order. `find.py` tries them, one file per kind."""
