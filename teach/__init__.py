"""The course's teaching machinery: exercises and checks, predictions, explorable figures, progress."""

from teach.check import check
from teach.claim import claim
from teach.explore import explore
from teach.figures import show, use_style
from teach.hold import hold
from teach.ledger import ledger
from teach.predict import predict, reveal
from teach.progress import progress
from teach.widgets.cache_animation import animate
from teach.widgets.nest_log import log_of
