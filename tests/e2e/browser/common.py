"""What the browser scripts share. Each is called as SCRIPT BASE-URL USER PASSWORD SCREENSHOT-FOLDER."""

import contextlib
import re
import sys
from pathlib import Path

import quiet

from playwright.sync_api import expect, sync_playwright

BASE, USER, PASSWORD, SHOTS = sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4])
# As patient as everything else here: on a busy machine five seconds are short.
expect.set_options(timeout=60_000)
LOGIN = re.compile(re.escape(BASE) + r"/_doorward/login(\?.*)?$")
SHOTS.mkdir(parents=True, exist_ok=True)

# What a stranger's machine would do by itself and a test must not: no background traffic, no first-run pages.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]


SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}
SCHEMES = ("light", "dark")


@contextlib.contextmanager
def browser(*arguments):
    quiet.leave_the_machines_network(BASE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*ARGUMENTS, *arguments])
        try:
            yield chromium
        finally:
            chromium.close()


def visitor(chromium, **options):
    """A person with an empty cookie jar who accepted the self-signed certificate. Script errors are failures."""
    return watched(chromium.new_context(ignore_https_errors=True, **options))


def watched(context):
    """The same context; what goes wrong in it is noted."""
    context.set_default_timeout(60_000)
    context.on("weberror", lambda error: problems.append(f"script error: {error.error}"))
    context.on("console", lambda message: message.type == "error" and problems.append(message.text))
    return context


problems = []  # what the browser complained about: a refused style sheet, a policy violation


def submit(page, user=USER, password=PASSWORD):
    page.fill("input[name=user]", user)
    # Where the stack asks for something else first, the page asks for the name alone.
    if page.locator("input[name=password]").count():
        page.fill("input[name=password]", password)
    page.click("form[action='/_doorward/login'] button[type=submit]")


def take(page, name, size, scheme):
    """A picture of a page; nothing may stick out of it."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    check(width[0] <= width[1], f"{name} on a {size} is {width[0]} wide on a screen of {width[1]}")
    check(page.locator("h1").count() == 1, f"{name} has no single heading")


def take_all(page, name):
    """The page that is open, on each kind of screen."""
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            take(page, name, size, scheme)


def check(condition, text):
    if not condition:
        fail(text)


def fail(text):
    print(f"FAILED: {text}", file=sys.stderr)
    sys.exit(1)


def check_no_problems(*allowed):
    left = [text for text in problems if not any(word in text for word in allowed)]
    check(not left, f"the browser complained: {left}")
