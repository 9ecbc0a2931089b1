"""Pictures of each page, light and dark, on a phone and on a desk; nothing may stick out or be cut off."""

from common import BASE, SHOTS, browser, check, check_no_problems, expect, submit, visitor

SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}
SCHEMES = ("light", "dark")


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


def take(page, name, size, scheme):
    page.wait_for_load_state("networkidle")
    page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    check(width[0] <= width[1], f"{name} on a {size} is {width[0]} wide on a screen of {width[1]}")
    check(page.locator("h1").count() == 1, f"{name} has no single heading")


main()
