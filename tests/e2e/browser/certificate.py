"""A person's PKCS#12 file, imported into the browser, signs her in on the certificate port until it is revoked.

Called with what common.py takes, and: CERTIFICATE-PORT CA-FILE PKCS12-FILE ITS-PASSWORD REVOKING-COMMAND…
"""

import atexit
import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import quiet
from common import (ARGUMENTS, BASE, LOGIN, USER, check, check_no_problems, expect, sync_playwright, take_all,
                    watched)

PORT, CA, PKCS12, SECRET, REVOKE = int(sys.argv[5]), sys.argv[6], sys.argv[7], sys.argv[8], sys.argv[9:]
ASKING = f"https://localhost:{PORT}"
WANTED = "/version?from=certificate"
SETTINGS = Path("/etc/chromium")
CLONE_NEWNS = 0x00020000
LINK = "Sign in with a certificate"


def main():
    choose_by_policy()
    quiet.leave_the_machines_network(BASE, PORT)
    with sync_playwright() as playwright:
        bob = person(playwright, PKCS12)
        page = bob.new_page()
        seen = []
        page.on("request", lambda request: seen.append(request.url))

        # C7: the main port asks for no certificate; here the policy would show one without a question.
        page.goto(BASE + WANTED)
        expect(page).to_have_url(LOGIN)
        check(not any(url.startswith(ASKING) for url in seen), f"the certificate port was asked by itself: {seen}")
        take_all(page, "login-certificate")

        sign_in(page)
        check("ApiVersion" in json.loads(page.inner_text("body")), "the engine does not answer")
        page.goto(BASE + "/_doorward/account")
        text = page.inner_text("main")
        check(USER in page.inner_text("h1"), "the account page does not say who is logged in")
        check(f"CN={USER}" in text, f"the account page does not name the certificate: {text}")
        check(re.search(r"Certificate ends\s+20\d\d-\d\d-\d\d", text), f"the account page does not say when it ends: {text}")
        take_all(page, "account-certificate")

        # Signing out works: it ends the session, and nothing shows the certificate again by itself.
        page.click("form[action='/_doorward/logout'] button")
        page.wait_for_url(LOGIN)
        page.goto(BASE + WANTED)
        expect(page).to_have_url(LOGIN)

        sign_in(page)
        subprocess.run(REVOKE, check=True, capture_output=True)
        for _ in range(500):
            page.goto(BASE + WANTED)
            if LOGIN.match(page.url):
                break
        expect(page).to_have_url(LOGIN)
        page.click(f"text={LINK}")
        expect(page.locator("h1")).to_have_text("This certificate does not let you in")
        check("revoked" in page.inner_text("main"), "the page does not say why")
        take_all(page, "certificate-refused")
        page.click("text=Back to the sign-in page")
        page.wait_for_url(LOGIN)

        stranger = person(playwright, None).new_page()
        stranger.goto(BASE + WANTED)
        stranger.click(f"text={LINK}")
        expect(stranger.locator("h1")).to_have_text("No certificate")
        take_all(stranger, "certificate-none")
        stranger.click("text=Back to the sign-in page")
        stranger.wait_for_url(LOGIN)
        # The engine has no picture for the tab, and who is refused gets 401.
        check_no_problems("404", "401")


def sign_in(page):
    page.click(f"text={LINK}")
    page.wait_for_url(BASE + WANTED)


def choose_by_policy():
    """Without a policy the browser waits for a person to choose. Nobody else's browser sees this one: it lies on a file
    system that is mounted for this thread and what it starts. Needs root."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "no mount namespace can be made")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", str(SETTINGS))
    policies = SETTINGS / "policies/managed"
    policies.mkdir(parents=True)
    choice = json.dumps({"pattern": ASKING, "filter": {}})
    policy = json.dumps({"AutoSelectCertificateForUrls": [choice]})
    (policies / "doorward-e2e.json").write_text(policy, encoding="ascii")


def person(playwright, pkcs12):
    """A browser with a fresh profile that trusts the CA, and holds a certificate if there is one."""
    home = tempfile.mkdtemp(prefix="doorward-browser-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    nss = Path(home) / ".pki/nssdb"
    nss.mkdir(parents=True)
    database = f"sql:{nss}"
    run("certutil", "-d", database, "-N", "--empty-password")
    run("certutil", "-d", database, "-A", "-n", "the gateway's CA", "-t", "C,,", "-i", CA)
    if pkcs12:
        run("pk12util", "-d", database, "-K", "", "-i", pkcs12, "-W", SECRET)
    profile = os.path.join(home, "profile")
    return watched(playwright.chromium.launch_persistent_context(
        profile, executable_path="/usr/bin/chromium", args=ARGUMENTS, env={**os.environ, "HOME": home}))


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


main()
