"""What every test shares."""

from hypothesis import HealthCheck, settings

# A busy machine is not a failure: no property has a deadline.
settings.register_profile("course", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("course")
