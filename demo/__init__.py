"""The page: page -> tabs -> service -> core, with one file a tab; nothing below the tabs' handlers knows Gradio."""

import os

# Read by the libraries while they are imported, so this has to come first; an explicit choice of the person wins.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Gradio sums up its last 10,000 events after every single one, for a monitoring page that is off here.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
