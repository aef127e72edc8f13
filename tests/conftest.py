"""What every test shares."""

from hypothesis import settings

# A busy machine is not a failure: no property has a deadline.
settings.register_profile("course", deadline=None)
settings.load_profile("course")
