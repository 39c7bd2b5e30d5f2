"""Settings of the whole suite: how long hypothesis searches, and the fixtures that everybody may use."""

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.brokers", "tests.support.java_peers", "tests.support.postgres"]

settings.register_profile(
    "suite", max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("CIMCARE_TEST_SEARCH", "suite"))
