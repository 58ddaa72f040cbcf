"""Open every page of the built documentation in a headless browser.

``python tools/check_site.py [SCREENSHOTS]`` wants Playwright and a Chromium (``pip install
playwright``; the browser that ``CHROMIUM`` names, or Playwright's own). It fails where a page logs
an error, a file is missing, a page asks another host for anything, a link leads nowhere, a page is
wider than a phone, or the search does not find an estimator; and leaves a few screenshots, wide,
narrow and dark, for eyes.
"""

import functools
import http.server
import importlib
import os
import re
import sys
import threading
from pathlib import Path
from urllib.parse import urldefrag, urljoin

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
LOOKED_AT = ("index.html", "evidence.html", "performance.html", "api.html",
             "user_guide/choose.html", "user_guide/wordnet_kd.html", "auto_examples/index.html",
             "generated/cmkdlearn.students.UCMKDStudent.html")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def served():
    """Serve the site, and return its address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(SITE))
    handler.func.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def main(pictures):
    """Print what is wrong, and return whether anything is."""
    home, wrong = served(), []
    pages = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html")
                   if "_modules" not in path.parts and "_static" not in path.parts)
    anchors, links = {}, []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"))
        page = browser.new_page(viewport=PHONE)
        here = [None]

        def refuse(route):
            wrong.append(f"{here[0]}: asks for {route.request.url}")
            route.abort()

        page.route(lambda url: not url.startswith((home, "data:")), refuse)
        page.on("pageerror", lambda error: wrong.append(f"{here[0]}: {error}"))
        page.on("console", lambda said: said.type == "error" and wrong.append(
            f"{here[0]}: {said.text}"))
        page.on("response", lambda got: got.status >= 400 and wrong.append(
            f"{here[0]}: {got.status} for {got.url}"))
        for here[0] in pages:
            page.goto(home + here[0])
            anchors[here[0]] = set(page.eval_on_selector_all("[id]", "all => all.map(e => e.id)"))
            links += [(here[0], href) for href in page.eval_on_selector_all(
                "a[href]", "all => all.map(e => e.getAttribute('href'))")]
            too_wide = page.evaluate("document.documentElement.scrollWidth") - PHONE["width"]
            if too_wide > 0:
                wrong.append(f"{here[0]}: {too_wide} pixels wider than a phone")
        wrong += dead_links(links, anchors)
        wrong += lost_names(page, home)
        if pictures:
            look(browser, home, Path(pictures))
        browser.close()
    print(f"{len(pages)} pages, {len(links)} links, {len(wrong)} things wrong")
    print("\n".join(wrong))
    return bool(wrong)


def dead_links(links, anchors):
    """Yield the links within the site whose page or anchor is not there."""
    for page, href in links:
        target, anchor = urldefrag(urljoin(page, href))
        if re.match(r"[a-z]+:", target):
            continue
        if not (SITE / target).exists():
            yield f"{page}: no {target}"
        elif anchor and target in anchors and anchor not in anchors[target]:
            yield f"{page}: no #{anchor} in {target}"


def lost_names(page, home):
    """Search for each estimator, as a reader does."""
    for package in ("teachers", "students", "embedding", "selection", "text"):
        module = importlib.import_module(f"cmkdlearn.{package}")
        for name in filter(lambda name: callable(getattr(module, name)), module.__all__):
            page.goto(f"{home}search.html?q={name}")
            page.wait_for_selector("#search-results ul.search li, #search-results p.search-summary")
            page.wait_for_timeout(300)
            found = page.eval_on_selector_all("#search-results a", "all => all.map(e => e.href)")
            if not any(f"{name}.html" in href for href in found):
                yield f"search: {name} is not found"


def look(browser, home, folder):
    """Take a picture of some pages at three kinds of screen."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, size, scheme in (("desk", DESK, "light"), ("phone", PHONE, "light"),
                               ("dark", DESK, "dark")):
        page = browser.new_page(viewport=size, color_scheme=scheme)
        for name in LOOKED_AT:
            page.goto(home + name)
            page.screenshot(path=folder / f"{kind}-{name.replace('/', '-')}.png", full_page=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [None]))
