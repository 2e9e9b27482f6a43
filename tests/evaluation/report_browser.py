"""Opens a page in headless Chromium over its DevTools protocol: the test looks at the report as a reader does."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)  # fmt: skip

MEASURE = """(() => {
  const root = document.documentElement;
  const figures = [...document.querySelectorAll('figure')].map(figure => {
    const box = figure.querySelector('svg').getBoundingClientRect();
    const marks = [...figure.querySelectorAll('svg .mark')];
    const drawn = marks.filter(mark => { const b = mark.getBoundingClientRect(); return b.width + b.height > 0; });
    const texts = [...figure.querySelectorAll('svg text')].map(text => text.getBoundingClientRect());
    return {id: figure.id, width: box.width, height: box.height, marks: marks.length, drawn: drawn.length,
            left: Math.min(...texts.map(b => b.left)), right: Math.max(...texts.map(b => b.right)),
            named: !!figure.querySelector('svg[role=img]').getAttribute('aria-label')};
  });
  const images = [...document.images].map(image => ({width: image.naturalWidth, alt: image.alt}));
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
  return {figures, images, scroll: root.scrollWidth, client: root.clientWidth, title: document.title,
          scripts: document.scripts.length, dark: r + g + b < 384};
})()"""


def find() -> str | None:
    """Return the path of a Chromium, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def look(
    binary: str, page: Path, views: list[tuple[int, int, str]], profile: Path, ask: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Return what MEASURE finds at each (width, height, ``light`` or ``dark``), with ``problems`` and ``requests``.

    ``problems`` are console messages, exceptions and log entries; ``requests`` addresses other than the page and data;
    ``told`` what each expression of ``ask`` gives, one after the other.
    """
    command = [binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "HOME": str(profile)}
    )
    try:
        return asyncio.run(asyncio.wait_for(_look(process, page, views, profile, ask), 90))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _look(
    process: Any, page: Path, views: list[tuple[int, int, str]], profile: Path, ask: tuple[str, ...]
) -> list[dict[str, Any]]:
    port_file = profile / "DevToolsActivePort"
    while not (port_file.exists() and re.match(r"\d+\n.", port_file.read_text())):
        assert process.poll() is None, f"Chromium ended with {process.returncode} before it listened"
        await asyncio.sleep(0.05)
    port = port_file.read_text().split("\n")[0]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as response:
            targets = json.loads(await response.text())
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        async with session.ws_connect(address, max_msg_size=0) as socket:
            tab = Tab(socket)
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.call(f"{domain}.enable")
            return [await _measure(tab, page, *view, ask) for view in views]


async def _measure(
    tab: "Tab", page: Path, width: int, height: int, scheme: str, ask: tuple[str, ...]
) -> dict[str, Any]:
    tab.events.clear()
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
    )
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await tab.call("Page.navigate", url=page.as_uri())
    await tab.wait_for("Page.loadEventFired")
    result = await tab.evaluate(MEASURE)
    if folder := os.environ.get("OCTOMED_SCREENSHOTS"):  # to look at the page oneself
        await tab.screenshot(Path(folder) / f"report-{width}-{scheme}.png")
    result["told"] = [await tab.evaluate(expression) for expression in ask]
    loud = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
    urls = [event["params"]["request"]["url"] for event in tab.events if event["method"] == "Network.requestWillBeSent"]
    result["problems"] = [json.dumps(event["params"])[:300] for event in tab.events if event["method"] in loud]
    result["requests"] = [url for url in urls if url != page.as_uri() and not url.startswith("data:")]
    result["loaded"] = page.as_uri() in urls
    return result


class Tab:
    """One open page: calls with their answers, and the events that came meanwhile."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket, self.number = socket, 0
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json()
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        return (await self.call("Runtime.evaluate", expression=expression, returnByValue=True))["result"].get("value")

    async def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(await self.socket.receive_json())

    async def screenshot(self, path: Path) -> None:
        import base64

        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
