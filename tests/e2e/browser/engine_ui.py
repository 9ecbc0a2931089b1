"""An engine with pages of its own (`--engine-ui`), which would like to be more than that: its script registers a service
worker and reads our pages.

The engine is `tests/e2e/browser.rs`; it puts what its script found out into the title of its page.
"""

import json

from common import BASE, LOGIN, USER, browser, check, check_no_problems, expect, submit, visitor

PAGE = BASE + "/ui"


def main():
    with browser() as chromium:
        context = visitor(chromium)
        page = context.new_page()
        page.goto(PAGE)
        expect(page).to_have_url(LOGIN)
        submit(page)
        page.wait_for_url(PAGE)
        expect(page.locator("h1")).to_have_text("The engine's own page")
        page.wait_for_function("document.title.startsWith('{')")
        found = json.loads(page.title())
        check(found["worker"] == "refused", f"a service worker was registered: {found}")
        for path, status in found["read"].items():
            check(status == 403, f"the script could read {path}: {found}")
        check(page.evaluate("navigator.serviceWorker.getRegistrations().then(all => all.length)") == 0,
              "there is a service worker")
        # A part of its page, and its own cookie, it may have.
        check(found["style"] and found["cookie"] == "ui=1", f"the engine's page is not whole: {found}")

        send_our_forms(context.new_page())
        page.evaluate("localStorage.setItem('left', 'by the engine')")

        # After signing out, Back shows nothing of the engine's page.
        page.goto(BASE + "/_doorward/logout")
        page.click("form[action='/_doorward/logout'] button")
        page.wait_for_url(LOGIN)
        for _ in range(4):
            page.go_back()
            page.wait_for_load_state()
            check("The engine's own page" not in page.content(), f"{page.url} is shown after signing out")
        page.goto(PAGE)
        expect(page).to_have_url(LOGIN)
        submit(page)
        page.wait_for_url(PAGE)
        check(USER in page.inner_text("body"), "the engine was not told who is there")
        check(page.evaluate("localStorage.getItem('left')") is None, "the browser remembers what a script left")
        check_no_problems("403", "401", "404", "service worker", "ServiceWorker")


def send_our_forms(page):
    """The engine's page sends forms of ours as the visitor: a browser says of them what it says of our own."""
    for path, fields, said in (
        ("logout", {}, "Sign out?"),
        ("account/revoke", {"kind": "session", "id": "x", "csrf_token": "x"}, "This form is not of this page"),
        ("device", {"code": "BCDF-GHJK"}, "This form is not of this page"),
        ("device/answer", {"request": "x", "choice": "approve", "password": "x"}, "This form is not of this page"),
        ("login", {"user": "eve", "password": "x"}, "Sign in"),
    ):
        page.goto(PAGE)
        with page.expect_navigation():
            page.evaluate(SEND, [path, fields])
        expect(page.locator("h1")).to_have_text(said)
    page.goto(PAGE)
    expect(page.locator("h1")).to_have_text("The engine's own page")


SEND = """([path, fields]) => {
    const form = Object.assign(document.createElement("form"), {method: "post", action: "/_doorward/" + path});
    for (const [name, value] of Object.entries(fields))
        form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(form);
    form.submit();
}"""


main()
