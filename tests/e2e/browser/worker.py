"""A service worker that another server left under our address, before the gateway stood there: it ends at the sign-in
page.
"""

import http.server
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

import quiet
from common import BASE, browser, check, expect, submit, visitor

PORT = urlsplit(BASE).port
WORKER = """
self.addEventListener('install', event => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(clients.claim()));
self.addEventListener('fetch', event => event.respondWith(
    event.request.url.endsWith('/tell') ? new Response('taken over') : fetch(event.request)));
"""
PLANT = """<!doctype html><title>begun</title><script>
navigator.serviceWorker.register('/sw.js', {scope: '/'}).then(() => navigator.serviceWorker.ready)
    .then(() => { document.title = 'planted'; }, error => { document.title = String(error); });
</script>"""


class Former(http.server.BaseHTTPRequestHandler):
    """What stood at the address before."""

    def do_GET(self):
        kind, body = ("text/javascript", WORKER) if self.path == "/sw.js" else ("text/html", PLANT)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def former(folder):
    """Starts it; gives its port."""
    names = Path(folder, "cert.pem"), Path(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", names[0], "-keyout", names[1]],
                   check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Former)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*names)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def plant(page, port):
    quiet.elsewhere[PORT] = port
    page.goto(BASE + "/plant")
    page.wait_for_function("document.title !== 'begun'")
    check(page.title() == "planted", f"no service worker could be left: {page.title()}")
    quiet.elsewhere.clear()
    check(is_taken_over(page), "the service worker does not work")


def is_taken_over(page):
    page.goto(BASE + "/tell")
    return "taken over" in page.inner_text("body")


def main():
    if not quiet.is_possible():
        print("skipped: only root can put another server at the address")
        return
    with tempfile.TemporaryDirectory() as folder:
        port = former(folder)
        with browser("--ignore-certificate-errors") as chromium:
            page = visitor(chromium).new_page()
            plant(page, port)
            page.goto(BASE + "/_doorward/login")
            expect(page.locator("h1")).to_have_text("A script asked for this page")
            page.click("text=Go to the sign-in page")
            submit(page)
            page.wait_for_url(lambda url: "/_doorward/login" not in url)
            check(not is_taken_over(page), "a service worker outlived the sign-in page")


sys.exit(main())
