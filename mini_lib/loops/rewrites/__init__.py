"""The rewrites: each takes a program and returns a new one. `mini_lib.loops.Nest` has them as methods."""
