"""The app: `python app.py`, then open the address that it prints."""

import signal

from demo.layout import build, launch_options
from demo.service import Service
from demo.settings import Settings

service = Service(Settings.from_environment())
demo = build(service)

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end as by Ctrl-C: uploads and results are deleted
    service.start()  # in the background: the page is there before the model
    demo.launch(**launch_options())
