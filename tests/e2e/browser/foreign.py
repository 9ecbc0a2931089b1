"""A container prints a page with a script, and a foreign page leads a signed-in person's browser to it.

Called with what common.py takes, and the container's name.
"""

import http.server
import json
import sys
import threading

from common import BASE, LOGIN, browser, check, check_no_problems, expect, submit, take_all, visitor

LOGS = f"/containers/{sys.argv[5]}/logs?stdout=1"
# Another site for the browser, though the same machine. Made on the browser's own network.
PAGES = {
    "/leads": f"<!doctype html><title>leads</title><script>location = {json.dumps(BASE + LOGS)}</script>",
    "/frames": f"<!doctype html><title>frames</title><iframe src='{BASE}{LOGS}'></iframe>"
               f"<object data='{BASE}{LOGS}'></object><embed src='{BASE}{LOGS}'>"
               f"<script src='{BASE}{LOGS}'></script><img src='{BASE}{LOGS}'>",
}


class Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = PAGES.get(self.path, "").encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    with browser() as chromium:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        foreign = f"http://127.0.0.1:{server.server_port}"
        page = visitor(chromium, accept_downloads=True).new_page()
        page.goto(BASE + "/version")
        expect(page).to_have_url(LOGIN)
        submit(page)
        page.wait_for_url(BASE + "/version")

        # A link from elsewhere leads to a page of the gateway that names the address.
        page.goto(foreign + "/leads")
        page.wait_for_url(BASE + LOGS)
        expect(page.locator("h1")).to_have_text("This link came from another site")
        check(page.inner_text("pre") == LOGS, "the page does not name the address")
        take_all(page, "foreign-link")

        # By her own click, or by her own hand, it is a file to save and no page.
        with page.expect_download() as begun:
            page.click("text=Go there")
        printed = begun.value.path().read_text(encoding="utf-8")
        check("<script>" in printed, f"the download is not the container's output: {printed}")
        with page.expect_download():
            page.evaluate(f"void (location = {json.dumps(LOGS)})")

        # What other sites put into their pages, the engine is not even asked for.
        answers = []
        page.context.on("response", lambda response: answers.append((response.url, response.status)))
        page.goto(foreign + "/frames")
        page.wait_for_load_state("networkidle")
        asked = [status for url, status in answers if url == BASE + LOGS]
        check(asked and all(status in (303, 401, 403) for status in asked), f"answered {answers}")

        # What an engine answers in JSON can be read, as text and in nobody's name.
        page.goto(BASE + "/info")
        check("ServerVersion" in page.inner_text("body"), "the engine's answer cannot be read")
        check(page.evaluate("origin") == "null", "an answer of the engine belongs to our origin")

        # After signing out, Back shows nothing of it.
        page.goto(BASE + "/_doorward/logout")
        page.click("form[action='/_doorward/logout'] button")
        page.wait_for_url(LOGIN)
        for _ in range(3):
            page.go_back()
            page.wait_for_load_state()
            check("ServerVersion" not in page.inner_text("body"), f"{page.url} is shown after signing out")
        check_no_problems("401", "403", "404", "ERR_BLOCKED", "X-Frame-Options", "frame-ancestors", "sandbox",
                          "Refused to")


main()
