"""S9: five tabs of one browser show the login page; all submit, one after the other, and all end logged in."""

import json

from common import BASE, LOGIN, browser, check, check_no_problems, expect, submit, visitor


def main():
    with browser() as chromium:
        context = visitor(chromium)
        tabs = [context.new_page() for _ in range(5)]
        for number, tab in enumerate(tabs):
            tab.goto(f"{BASE}/version?tab={number}")
            expect(tab).to_have_url(LOGIN)
        for number, tab in enumerate(tabs):
            submit(tab)
            tab.wait_for_url(f"{BASE}/version?tab={number}")
        for number, tab in enumerate(tabs):
            tab.reload()
            check("ApiVersion" in json.loads(tab.inner_text("body")), f"tab {number} shows {tab.url}")
        # The browser asks for `favicon.ico`, which the engine does not have.
        check_no_problems("404")


main()
