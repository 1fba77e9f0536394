"""The settings of the test run: the service's own, with the flag on."""

from config.settings import *  # noqa: F403  # every setting, as Django expects

ELEVENLABS_AGENT_ENABLED = True
