"""A page as headless Chromium sees it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt install chromium")

# Runs in a copy of the page; what it finds goes into an attribute, which the dump of the document shows.
_PROBE = """<script>
addEventListener("load", () => {
  const drawn = svg => [...svg.querySelectorAll("path, image, use, text")].filter(e => {
    const box = e.getBoundingClientRect(); return box.width > 0 && box.height > 0 });
  document.documentElement.dataset.seen = JSON.stringify({
    images: document.images.length,
    broken: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.alt),
    figures: document.querySelectorAll("svg").length,
    empty: [...document.querySelectorAll("svg")].filter(s => drawn(s).length < 10).length,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ids: [...document.querySelectorAll("[id]")].map(e => e.id),
    background: getComputedStyle(document.body).backgroundColor,
    color: getComputedStyle(document.querySelector("svg text") || document.body).fill,
  })
})
</script></body>"""


def look_at(page: Path, tmp_path: Path, width: int = 1200, dark: bool = False) -> dict:
    """What Chromium makes of the file: pictures, figures, what sticks out, colours, and messages on its
    console.
    """
    probed = tmp_path / f"probed-{width}-{dark}.html"
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text, "the page must do without scripts"
    assert not re.search(r"(src|href)=\"(?!data:|#)", text), "the page must not load anything"
    probed.write_text(text.replace("</body>", _PROBE), encoding="utf-8")
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1000", "--dump-dom",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=5000",
        "--enable-logging=stderr", "--v=0", probed.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=True)
    match = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert match, f"Chromium did not finish the page: {done.stderr[-500:]}"
    seen = json.loads(match[1].replace("&quot;", '"').replace("&amp;", "&").replace("&lt;", "<"))
    seen["console"] = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return seen


def is_in_order(page: Path, tmp_path: Path, figures: int, images: int = 0) -> None:
    """Assert that a page can be read on a desktop and on a phone, in light and in dark."""
    for width, dark in ((1200, False), (500, True)):
        seen = look_at(page, tmp_path, width, dark)
        assert seen["console"] == []
        assert seen["broken"] == [] and seen["images"] >= images
        assert seen["figures"] >= figures and seen["empty"] == 0
        assert seen["wide"] <= 0, f"the page sticks out by {seen['wide']} pixels at a width of {width}"
        assert len(set(seen["ids"])) == len(seen["ids"]), "two elements have the same id"
        paper, ink = (brightness(seen[key]) for key in ("background", "color"))
        assert (paper < 60 and ink > 180) if dark else (paper > 200 and ink < 80)


def brightness(colour: str) -> float:
    """The mean of a CSS colour's channels."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3
