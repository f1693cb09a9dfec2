"""Entry point of the page: run `python app.py` and open the printed address; `--open` opens it in the browser."""

import gc

from demo import ending

if __name__ == "__main__" and ending.in_charge():
    ending.at_once()  # before the imports below, which take seconds
    gc.disable()  # until the model is loaded: imported objects are never freed

import argparse

from demo import environment, quick

environment.settle()  # before the import of Gradio, which reads the environment

from demo import connections  # noqa: E402

with quick.classes_without_files():
    from demo.page import build, launch_options
quick.without_matplotlib()
from demo.service import Service  # noqa: E402
from demo.settings import Settings  # noqa: E402

service = Service(Settings.from_environment())
demo = build(service)


def main() -> None:
    """Start the page. The model is loaded in the background, so that the page is available earlier."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description="CLIPtrase Lab; for settings see docs/deployment.md."
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser when it is up")
    known, others = parser.parse_known_args()
    if others:
        port = "The port is the variable GRADIO_SERVER_PORT." if "port" in others[0] else ""
        remedy = port or "Settings are variables, see docs/deployment.md."
        environment.refuse(f"expected --open or nothing, got {' '.join(others)}. {remedy}")
    service.start()
    quick.collect_after(service.models.settled)
    connections.bound()
    try:
        demo.launch(
            **launch_options(lambda: service.status().ready),
            server_port=environment.port(),
            inbrowser=known.open,
            prevent_thread_lock=True,
        )
    except OSError:
        environment.refuse(environment.why_no_address())
    ending.wait()
    demo.close(verbose=False)
    environment.delete_own_folder()  # Gradio does not, if somebody reads an answer at that moment


if __name__ == "__main__" and ending.in_charge():
    main()
    ending.now()
