"""The app: `python app.py`, then open the address that it prints; `--open` opens it."""

import argparse
import signal
import sys

from demo.layout import build, launch_options
from demo.service import Service
from demo.settings import Settings

service = Service(Settings.from_environment())
demo = build(service)


def main() -> None:
    """Start the page; the model is loaded in the background, so the page is there before it."""
    parser = argparse.ArgumentParser(description="CLIPtrase Lab; for settings see docs/deployment.md.")
    parser.add_argument("--open", action="store_true", help="open the page in the browser when it is up")
    known, others = parser.parse_known_args()
    if others:
        sys.exit(f"app.py: expected --open or nothing, got {' '.join(others)}. Try python app.py --help.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C: uploads and results are deleted
    service.start()
    demo.launch(**launch_options(), inbrowser=known.open)


if __name__ == "__main__":
    main()
