"""Lottery tickets as an experiment: many seeds, every control, round by round, resumable, and what was recorded."""

from studies.tickets.results import Results, recorded
from studies.tickets.run import run_study
from studies.tickets.study import Run, State, Study, advance
