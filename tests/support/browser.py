"""Chromium without a window, driven through its DevTools protocol.

The browser reads messages from descriptor 3 and writes messages to descriptor 4 (``--remote-debugging-pipe``). Each
message is JSON, followed by a NUL. So the tests need neither a port nor a library.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.requirements import require_tool

_SECONDS = 240
"""The time limit, in seconds, of each request to a page."""
_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    # Chromium has no sandbox if it runs as root, as in continuous integration. The pages are trusted.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--force-device-scale-factor=1",
)
_FREE = 10
_MODIFIERS = {"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}


class BrowserError(AssertionError):
    """A request to the browser or to the page has failed."""


class _Pipe:
    """The two pipes to the browser: sends requests, receives answers and events."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._received = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
        """Call a method of the protocol, and return its result. Events that arrive before the result are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = memoryview(json.dumps(message).encode() + b"\0")
        while data:
            data = data[os.write(self._writing, data) :]
        deadline = time.monotonic() + _SECONDS
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message. Raises `BrowserError` if none arrives before ``deadline``."""
        while b"\0" not in self._received:
            with selectors.DefaultSelector() as selector:
                selector.register(self._reading, selectors.EVENT_READ)
                if not selector.select(deadline - time.monotonic()):
                    raise BrowserError("the browser does not answer")
            part = os.read(self._reading, 1 << 20)
            if not part:
                raise BrowserError("the browser has gone")
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


@dataclass
class Tab:
    """One page. Coordinates are CSS pixels, relative to the window."""

    _pipe: _Pipe
    _session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page, and return its result."""
        result = self._pipe.call(method, self._session, parameters)
        self._note_events()
        return result

    def open(self, path: Path) -> None:
        """Open the file ``path``, and wait until the page is completely loaded."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """Evaluate the expression ``script``, and return its value. If the value is a promise, return the value that
        the promise resolves to. Raises `BrowserError` if the script fails."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(f"{script}: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until the expression ``script`` is true. The page evaluates it repeatedly."""
        self.run(f"new Promise((done) => {{ const look = () => ({script}) ? done() : setTimeout(look, 10); look(); }})")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send one mouse event: ``Pressed``, ``Released``, ``Moved`` or ``Wheel``."""
        pressed = {"button": "left", "buttons": 1, "clickCount": 1} if kind != "Wheel" else {}
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **{**pressed, **more})

    def click(self, x: float, y: float, count: int = 1) -> None:
        """Click ``count`` times at a point."""
        self.mouse("Moved", x, y, buttons=0, button="none")
        for number in range(1, count + 1):
            self.mouse("Pressed", x, y, clickCount=number)
            self.mouse("Released", x, y, clickCount=number, buttons=0)

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, steps: int = 8, modifiers: int = 0) -> None:
        """Press the mouse button at ``start``, move the mouse to ``end`` in ``steps`` steps, and release the button."""
        self.mouse("Moved", *start, buttons=0, button="none")
        self.mouse("Pressed", *start, modifiers=modifiers)
        for step in range(1, steps + 1):
            x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
            self.mouse("Moved", x, y, modifiers=modifiers)
        self.mouse("Released", *end, modifiers=modifiers, buttons=0)

    def press(self, key: str, *modifiers: str) -> None:
        """Press the key that has the name ``key`` in ``KeyboardEvent.key``."""
        held = sum(_MODIFIERS[modifier] for modifier in modifiers)
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=held, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=held)

    def type(self, text: str) -> None:
        """Type into the focused element."""
        self.call("Input.insertText", text=text)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, scheme: str) -> None:
        """Set the colour scheme that the system prefers, ``light`` or ``dark``."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """Write an image of the page to the file ``path``, as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def accessible(self) -> list[tuple[str, str]]:
        """The accessibility tree of the page: the role and the name of each node that is not ignored."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
        ]

    def _note_events(self) -> None:
        kept = []
        for event in self._pipe.events:
            if event.get("sessionId") != self._session:
                kept.append(event)
                continue
            match event["method"], event["params"]:
                case "Runtime.exceptionThrown", parameters:
                    details = parameters["exceptionDetails"]
                    self.errors.append(details.get("exception", {}).get("description", details["text"]))
                case "Runtime.consoleAPICalled", {"type": "error" | "warning" | "assert", "args": arguments}:
                    self.errors.append(" ".join(str(each.get("value", each)) for each in arguments))
                case "Log.entryAdded", {"entry": {"level": "error" | "warning", "text": text}}:
                    self.errors.append(text)
                case "Network.requestWillBeSent", parameters:
                    self.requests.append(parameters["request"]["url"])
        self._pipe.events = kept


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are greater than those that the browser needs (3 and 4)."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """Start a browser with one empty tab. ``profile``: a directory for the browser's files. Ends the test if Chromium
    is not installed."""
    program = require_tool("chromium", "chromium")
    to_browser, from_us = _pipe()
    from_browser, to_us = _pipe()
    process = subprocess.Popen(
        # The browser expects its pipes on descriptors 3 and 4. Popen cannot choose descriptor numbers, so bash does it:
        # dash accepts only one digit before a redirection.
        [
            "bash",
            "-c",
            f'exec "$@" 3<&{to_browser} 4>&{to_us}',
            "bash",
            program,
            *_OPTIONS,
            f"--user-data-dir={profile}",
        ],
        pass_fds=(to_browser, to_us),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(to_us)
    pipe = _Pipe(from_browser, from_us)
    try:
        target = pipe.call("Target.createTarget", None, {"url": "about:blank"})["targetId"]
        session = pipe.call("Target.attachToTarget", None, {"targetId": target, "flatten": True})["sessionId"]
        tab = Tab(pipe, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.resize(1440, 900)
        yield tab
        with suppress(BrowserError):
            # The browser may exit before it has sent its answer.
            pipe.call("Browser.close", None, {})
    finally:
        os.close(from_us)
        os.close(from_browser)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
