"""What a browser sends, without a browser: one session that uploads, presses, clicks, and reads the queue."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

API = "/gradio_api"


@dataclass(frozen=True)
class Answer:
    """What the queue said about one event, in order."""

    messages: list[dict[str, Any]]

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return bool(self.messages) and bool(self.messages[-1].get("success"))

    @property
    def data(self) -> list[Any]:
        """New values, one for each output; empty after an error."""
        return (self.messages[-1]["output"].get("data") or []) if self.succeeded else []

    @property
    def error(self) -> str | None:
        """The message that the person reads; None when there is none."""
        return None if self.succeeded else self.messages[-1]["output"].get("error")

    @property
    def places(self) -> list[int]:
        """Places in the queue that were told: 0 is next."""
        return [message["rank"] for message in self.messages if message["msg"] == "estimation"]


def as_file(path: str, name: str = "picture.png") -> dict[str, Any]:
    """What stands for an uploaded file in a message."""
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def call(address: str, name: str, **arguments: Any) -> Any:
    """A public endpoint by named arguments, as curl would; the result, or the error's text as `RuntimeError`."""
    with httpx.Client(base_url=address, timeout=120) as http:
        joined = http.post(f"{API}/call/v2/{name}", json=arguments)
        joined.raise_for_status()
        text = http.get(f"{API}/call/{name}/{joined.json()['event_id']}").text
    kind, _, data = text.strip().rpartition("event: ")[2].partition("\ndata: ")
    if kind != "complete":
        raise RuntimeError(data)
    return json.loads(data)[0]


class Visitor:
    """One tab of one person."""

    def __init__(self, address: str, **client: Any) -> None:
        """Open the page; `client` is what `httpx.Client` takes besides."""
        # A kept connection may be closed by the server just when it is used again.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=address, timeout=120, limits=fresh, **client)
        self.session = secrets.token_hex(8)
        self.config = self.http.get("/config").json()
        self._parts = {part["id"]: part for part in self.config["components"]}
        self._told: dict[int, Any] = {}
        self._asked: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        """Leave."""
        self.http.close()

    def upload(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Send a file; what stands for it afterwards."""
        with path.open("rb") as file:
            answer = self.http.post(f"{API}/upload", files={"files": (name or path.name, file)})
        answer.raise_for_status()
        return as_file(answer.json()[0], name or path.name)

    def event(self, element: str, kind: str) -> dict[str, Any]:
        """The server's listener on an element's event, as the page's configuration describes it."""
        for listener in self.config["dependencies"]:
            if listener["backend_fn"] and any(
                kind == on and self._name(part) == element for part, on in listener["targets"]
            ):
                return listener
        raise LookupError(f"nothing listens to {kind} of {element}")

    def do(self, element: str, kind: str = "click", *, at: Any = None, **changed: Any) -> Answer:
        """An event on an element, with everything the page would send along.

        Args:
            element: its `elem_id`, else its label.
            kind: of event.
            at: what the event carries, for a click on a picture.
            changed: values of other elements, remembered for later events.
        """
        self.set(**changed)
        listener = self.event(element, kind)
        return self.send(listener["id"], self.data(listener), None if at is None else {"index": at, "value": None})

    def data(self, listener: dict[str, Any]) -> list[Any]:
        """What the page would send to a listener now."""
        return [self._value(part) for part in listener["inputs"]]

    def set(self, **changed: Any) -> None:
        """Give elements values, as typing would."""
        for name, value in changed.items():
            self._told[next(i for i in self._parts if self._name(i) == name)] = value

    def send(self, listener: int, data: list[Any], event_data: Any = None) -> Answer:
        """Any message at all to a listener by its number; waits for its answer."""
        return self.wait(self.join(listener, data, event_data))

    def join(self, listener: int, data: list[Any], event_data: Any = None) -> str:
        """Stand in the queue; does not wait."""
        body = {"fn_index": listener, "data": data, "event_data": event_data, "session_hash": self.session}
        answer = self.http.post(f"{API}/queue/join", json=body)
        answer.raise_for_status()
        event = answer.json()["event_id"]
        self._asked[event] = next(one for one in self.config["dependencies"] if one["id"] == listener)
        return event

    def wait(self, event: str) -> Answer:
        """Read the queue's messages until an event is answered; new values are remembered."""
        seen = []
        for message in self.messages():
            if message.get("event_id") == event:
                seen.append(message)
            if message["msg"] == "process_completed" and message["event_id"] == event:
                break
        answer = Answer(seen)
        for part, value in zip(self._asked.pop(event)["outputs"], answer.data, strict=False):
            if not (isinstance(value, dict) and value.get("__type__") == "update"):
                self._told[part] = value
            elif "value" in value:
                self._told[part] = value["value"]
        return answer

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the queue says to this session, as it comes."""
        with self.http.stream("GET", f"{API}/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def segment(self, **changed: Any) -> str | None:
        """Press Segment; what the page says where there is no new result, and None where there is one."""
        answer = self.do("segment", **changed)
        status = self.shown("status") if answer.succeeded else ""
        return answer.error or (status if "strip bad" in status else None)

    def shown(self, name: str) -> Any:
        """The value that an element has now."""
        return next(value for part, value in self._told.items() if self._name(part) == name)

    def _value(self, part: int) -> Any:
        return self._told.get(part, self._parts[part]["props"].get("value"))

    def _name(self, part: int) -> str:
        props = self._parts.get(part, {}).get("props", {})
        return props.get("elem_id") or props.get("label") or ""
