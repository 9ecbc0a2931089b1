"""Pictures of each page, light and dark, on a phone and on a desk; nothing may stick out or be cut off."""

from common import BASE, SCHEMES, SIZES, browser, check_no_problems, expect, submit, take, visitor


def main():
    with browser() as chromium:
        # One login for all pictures: the doors slow down who knocks too often.
        state = logged_in(chromium)
        for size, viewport in SIZES.items():
            for scheme in SCHEMES:
                options = {"viewport": viewport, "color_scheme": scheme, "has_touch": size == "phone"}
                stranger = visitor(chromium, **options).new_page()
                stranger.goto(BASE + "/_doorward/login")
                expect(stranger.locator("input[name=user]")).to_be_focused()
                take(stranger, "login", size, scheme)
                bob = visitor(chromium, storage_state=state, **options).new_page()
                bob.goto(BASE + "/_doorward/account")
                take(bob, "account", size, scheme)
                bob.goto(BASE + "/_doorward/there-is-no-such-page")
                take(bob, "error", size, scheme)
        wrong = visitor(chromium, viewport=SIZES["desk"]).new_page()
        wrong.goto(BASE + "/_doorward/login")
        submit(wrong, password="wrong")
        expect(wrong.locator("[role=alert]").first).to_be_visible()
        take(wrong, "refused", "desk", "light")
        check_no_problems("404", "401")


def logged_in(chromium):
    context = visitor(chromium)
    page = context.new_page()
    page.goto(BASE + "/_doorward/login?next=/_doorward/account")
    submit(page)
    page.wait_for_url(BASE + "/_doorward/account")
    return context.storage_state()


main()
