"""Web page in layers: page -> tabs -> service -> core, one file per tab. Layers below the tabs do not use Gradio."""

import os

# The libraries read these variables at import, so this comes first. Values that the user has set take precedence.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Gradio summarises its last 10,000 events after each event, for a monitoring page that is disabled here.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")
