"""A person is led from the page she wanted to the login, mistypes, logs in, lands where she wanted, and logs out."""

import json
import re

from common import BASE, LOGIN, PASSWORD, USER, browser, check, check_no_problems, expect, submit, visitor

WANTED = "/version?from=%2F%2Fbrowser"


def main():
    with browser() as chromium:
        context = visitor(chromium)
        page = context.new_page()

        page.goto(BASE + WANTED)
        expect(page).to_have_url(LOGIN)
        check(not sessions(context), "a stranger has a session cookie")

        submit(page, password="wrong")
        expect(page.locator("[role=alert]").first).to_be_visible()
        check(not sessions(context), "a wrong password gave a session cookie")
        check("Version" not in page.inner_text("body"), "a wrong password shows the engine")

        # GB6, R2: back to where she wanted to go, byte for byte.
        submit(page)
        page.wait_for_url(BASE + WANTED)
        version = json.loads(page.inner_text("body"))
        check("ApiVersion" in version, f"the engine does not answer: {version}")

        # S2, GB4
        cookies = sessions(context)
        check(len(cookies) == 1, f"one session cookie is expected: {context.cookies()}")
        cookie = cookies[0]
        for one in context.cookies():
            check(one["secure"] and one["httpOnly"], f"flags of {one}")
            check(one["sameSite"] in ("Lax", "Strict"), f"SameSite of {one}")
            check(one["path"] == "/" and one["domain"] == "localhost", f"scope of {one}")
        # B2: the browser is a known device from now on, and stays one after the logout.
        check(has_device(context), f"no device cookie: {context.cookies()}")
        # The engine's answer belongs to nobody's origin.
        check(page.evaluate("origin") == "null", "an answer of the engine belongs to our origin")

        page.goto(BASE + "/_doorward/account")
        check(page.evaluate("document.cookie") == "", "scripts can read the cookie")
        check(USER in page.inner_text("main"), "the account page does not say who is logged in")
        check(PASSWORD not in page.content(), "the account page holds the password")
        page.click("form[action='/_doorward/logout'] button")
        # A click does not wait: going on at once would break the logout off.
        page.wait_for_url(LOGIN)
        page.goto(BASE + WANTED)
        expect(page).to_have_url(LOGIN)

        check(has_device(context), "the device is forgotten")
        # GB4: the server forgot the session, not only the browser.
        context.add_cookies([cookie])
        page.goto(BASE + WANTED)
        expect(page).to_have_url(LOGIN)

        # R1: the way back never leaves the site.
        page.goto(BASE + "/_doorward/login?next=//evil.example/")
        submit(page)
        page.wait_for_url(lambda url: "/_doorward/login" not in url)
        check(page.url.startswith(BASE + "/"), f"sent to {page.url}")
        # The engine has no page at `/`, and a wrong password is answered with 401.
        check_no_problems("404", "401")


def sessions(context):
    return [cookie for cookie in context.cookies() if re.fullmatch("__Host-doorward-[0-9a-f]{8}", cookie["name"])]


def has_device(context):
    return any(re.fullmatch("__Host-doorward-[0-9a-f]{8}-device", cookie["name"]) for cookie in context.cookies())


main()
