"""The app: `python app.py`, then open the address that it prints."""

from demo.layout import build, launch_options
from demo.service import Service
from demo.settings import Settings

service = Service(Settings.from_environment())
demo = build(service)

if __name__ == "__main__":
    service.start()  # in the background: the page is there before the model
    demo.launch(**launch_options())
