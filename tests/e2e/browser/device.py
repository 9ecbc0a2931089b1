"""`doorward login --web`: the program waits in a terminal, a person logs in by browser, types its code and approves."""

import os
import subprocess
import sys
import tempfile

from common import BASE, LOGIN, PASSWORD, USER, browser, check, check_no_problems, expect, submit, take_all, visitor

PROGRAM, CA = sys.argv[5:7]
# Where the engine has pages, a yes takes the password.
ASKS = sys.argv[7:] == ["asks"]
DEVICE = BASE + "/_doorward/device"


def main():
    with browser() as chromium, tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        waiting = subprocess.Popen([PROGRAM, "login", "--web", "--ca", CA, BASE], env=environment,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            approve(chromium, waiting)
        finally:
            waiting.kill()
        who = subprocess.run([PROGRAM, "whoami"], env=environment, capture_output=True, text=True, timeout=60)
        check(who.returncode == 0 and USER in who.stdout, f"the login is not there: {who}")


def approve(chromium, waiting):
    address, code = announced(waiting)
    check(address == DEVICE, f"the program sends people to {address}")
    page = visitor(chromium).new_page()
    page.goto(address)
    expect(page).to_have_url(LOGIN)
    submit(page)
    page.wait_for_url(DEVICE)
    expect(page.locator("#code")).to_be_focused()
    take_all(page, "device")

    page.fill("#code", "zzzz-zzzz")
    page.click("text=Continue")
    expect(page.locator("[role=alert]")).to_be_visible()
    take_all(page, "device-wrong")

    # As people type it.
    page.fill("#code", code.lower().replace("-", " "))
    page.click("text=Continue")
    expect(page.locator("h1")).to_have_text("Let this program in?")
    check(code in page.inner_text("main"), "the question does not show the code")
    check(waiting.poll() is None, "the program does not wait for the answer")
    take_all(page, "device-question")

    check(page.locator("#password").count() == int(ASKS), "the password is asked for, or is not")
    if ASKS:
        page.fill("#password", "wrong")
        page.click("button[value=approve]")
        expect(page.locator("[role=alert]")).to_be_visible()
        check(waiting.poll() is None, "a wrong password let the program in")
        take_all(page, "device-password-wrong")
        page.fill("#password", PASSWORD)
    page.click("button[value=approve]")
    expect(page.locator("h1")).to_have_text("Approved")
    take_all(page, "device-approved")
    said = waiting.communicate(timeout=60)[1]
    check(waiting.returncode == 0 and f"logged in to {BASE} as {USER}" in said, f"the program says: {said}")

    page.reload()
    expect(page.locator("[role=alert]")).to_be_visible()
    check("account" in page.inner_text("main"), "a second answer does not say where the login stands")
    take_all(page, "device-again")

    page.goto(BASE + "/_doorward/account")
    take_all(page, "account-device")
    # A code that is wrong, and a question that is over.
    check_no_problems("400", "404", "410", "422", *(["401"] if ASKS else []))


def announced(waiting):
    """The address and the code that the program shows, each on a line of its own."""
    shown = []
    for line in waiting.stderr:
        if line.startswith("  ") and line.strip():
            shown.append(line.strip())
        if len(shown) == 2:
            return shown
    raise SystemExit(f"the program shows {shown}")


main()
