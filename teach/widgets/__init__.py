"""Figures that move: a cache that fills, a calculator for the cost of a token. No code is loaded from elsewhere."""
