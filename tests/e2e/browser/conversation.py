"""Logins of more than one question. Called with one more word, the scenario, and what the person knows besides."""

import re
import sys

from common import BASE, PASSWORD, SHOTS, USER, browser, check, check_no_problems, expect, submit, visitor

SCENARIO, KNOWN = sys.argv[5], sys.argv[6:]
WANTED = BASE + "/_doorward/account"
SIZES = {"phone": {"width": 390, "height": 844}, "desk": {"width": 1280, "height": 800}}


def main():
    with browser() as chromium:
        page = visitor(chromium).new_page()
        page.goto(BASE + "/_doorward/login?next=/_doorward/account")
        {"code-second": code_second, "code-first": code_first, "change": change, "double-click": double_click,
         "radio": radio, "warning": warning}[SCENARIO](page)
        page.wait_for_url(WANTED)
        check(USER in page.inner_text("main"), "the account page does not say who is logged in")
        # Refusals are answered with 401.
        check_no_problems("401")


def code_second(page):
    submit(page)
    field(page, "One-time password", "one-time-code", "password")
    check(not sessions(page), "a session before the code")
    take(page, "two-step")
    page.keyboard.type(KNOWN[0])
    page.keyboard.press("Enter")


def code_first(page):
    # A password that is typed at once waits for its own question.
    submit(page)
    field(page, "Verification code", "one-time-code", "password")
    # Starting again is a button, and not the one that the enter key presses.
    page.click("button:has-text('Start again')")
    expect(page.locator("input[name=user]")).to_be_focused()
    # What the stack asks first is known by now.
    check(page.locator("input[type=password]").count() == 0, "a password is asked for before the code")
    check("on the next pages" in page.inner_text("main"), "not told that questions follow")
    take(page, "name-first")
    submit(page)
    field(page, "Verification code", "one-time-code", "password")
    take(page, "code-first")
    page.keyboard.type(KNOWN[0])
    page.keyboard.press("Enter")
    field(page, "Password", "current-password", "password")
    check(not sessions(page), "a session before the password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")


def double_click(page):
    submit(page)
    field(page, "One-time password", "one-time-code", "password")
    sent, refused = [], []
    page.on("request", lambda request: request.method == "POST" and sent.append(request.post_data))
    page.on("response", lambda response: response.status >= 400 and refused.append(response.status))
    page.keyboard.type(KNOWN[0])
    box = page.locator("button.main").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    # The browser drops a second click that comes before the first form is on its way.
    with page.expect_request(lambda request: request.method == "POST"):
        page.mouse.click(*middle)
    page.mouse.click(*middle)
    # Not by waiting for a navigation: the second click ends the one that the first has begun.
    expect(page).to_have_url(WANTED, timeout=30_000)
    check(len(sent) == 2 and sent[0] == sent[1], f"{len(sent)} forms were sent")
    check(not refused, f"refused with {refused}")
    check(len(sessions(page)) == 1, "no session")


def change(page):
    submit(page)
    field(page, "Current password", "current-password", "password")
    check("required to change your password" in page.inner_text("main"), "not told why")
    take(page, "change-why")
    answer(page, PASSWORD)
    field(page, "New password", "new-password", "password")
    take(page, "change")
    answer(page, "short")
    answer(page, "short")
    check("choose a longer password" in page.inner_text("[role=alert]"), "the complaint is not shown")
    take(page, "change-complaint")
    answer(page, KNOWN[0])
    field(page, "Retype new password", "new-password", "password")
    check(not sessions(page), "a session before the change")
    answer(page, KNOWN[0])


def radio(page):
    submit(page, password="")
    check("locked" not in page.inner_text("body"), "a stranger is told something")
    field(page, "First", "off", "text")
    answer(page, "1")
    said = page.locator(".said").all_inner_texts()
    check(said == ["An error between", "A note between"], f"said {said}")
    choices = page.get_by_role("radio")
    check(choices.count() == 2 and not choices.nth(0).is_checked(), "two choices, none of them made")
    check(page.get_by_role("group", name="Push to your phone?").count() == 1, "the choices have no name")
    take(page, "radio")
    page.get_by_label("Yes").check()
    page.click("button.main")
    field(page, "Last", "off", "password")
    answer(page, "2")
    check("Goodbye" in page.inner_text("main"), "the goodbye is lost")
    page.click("text=Continue")


def warning(page):
    submit(page)
    page.wait_for_url(BASE + "/_doorward/welcome?**")
    check("will expire in" in page.inner_text("main"), "the warning is not shown")
    take(page, "warning")
    page.reload()
    page.wait_for_url(WANTED)


def field(page, label, autocomplete, kind):
    """The one field of the page has this label, the cursor, and what password managers need."""
    found = page.get_by_label(label)
    expect(found).to_be_focused()
    check(found.get_attribute("autocomplete") == autocomplete, f"{label}: autocomplete")
    check(found.get_attribute("type") == kind, f"{label}: type")
    return found


def answer(page, text):
    page.fill("input[name=answer0]", text)
    page.click("button.main")
    page.wait_for_load_state()


def sessions(page):
    return [cookie for cookie in page.context.cookies() if re.fullmatch("__Host-doorward-[0-9a-f]{8}", cookie["name"])]


def take(page, name):
    for size, viewport in SIZES.items():
        page.set_viewport_size(viewport)
        for scheme in ("light", "dark"):
            # Without motion: a picture must not be taken on the way from one colour to another.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.screenshot(path=SHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
            width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
            check(width[0] <= width[1], f"{name} on a {size} is {width[0]} wide on a screen of {width[1]}")
            check(page.locator("h1").count() == 1, f"{name} has no single heading")


main()
