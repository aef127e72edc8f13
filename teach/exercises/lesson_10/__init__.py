"""Lesson 10, How is a layer mapped onto the machine? Its exercises, and what people get wrong."""

from teach.exercises.lesson_10.axes import BEST_AXES
from teach.exercises.lesson_10.energy import LAYER_ENERGY
from teach.exercises.lesson_10.fetching import PIPELINED_TIME
from teach.exercises.lesson_10.memory import PEAK_LIVE_BYTES
from teach.exercises.lesson_10.moving import TILED_TRAFFIC
from teach.exercises.lesson_10.placing import FIRST_FIT
from teach.exercises.lesson_10.units import UTILIZATION
from teach.exercises.lesson_10.walking import LINES_OF_WALK

EXERCISES = (
    UTILIZATION,
    BEST_AXES,
    LINES_OF_WALK,
    TILED_TRAFFIC,
    LAYER_ENERGY,
    PEAK_LIVE_BYTES,
    FIRST_FIT,
    PIPELINED_TIME,
)
