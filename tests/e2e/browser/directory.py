"""Somebody of a directory: the wrong password is refused in the usual words, the right one opens the door."""

from common import BASE, USER, browser, check, check_no_problems, expect, submit, visitor


def main():
    with browser() as chromium:
        page = visitor(chromium).new_page()
        page.goto(BASE + "/_doorward/login?next=/_doorward/account")
        submit(page, password="wrong")
        expect(page.get_by_role("alert")).to_contain_text("Wrong user name or password")
        submit(page)
        page.wait_for_url(BASE + "/_doorward/account")
        check(USER in page.inner_text("main"), "the account page does not say who is logged in")
        # Refusals are answered with 401.
        check_no_problems("401")


main()
