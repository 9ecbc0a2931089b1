"""The proxies that are measured, each with a configuration of its own in the run's folder and as many workers as the rest.

All do the same: TLS 1.3 with one P-256 certificate on 127.0.0.1, HTTP/1.1 with keep-alive on both sides, upgrades passed
on, nothing buffered (an engine's answers may be endless), one upstream on a unix socket.
"""

import http.client
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import time
import urllib.parse

import processes
from processes import Failed

READY_WITHIN = 20.0
STREAMS_ROOM = 4096  # connections that a peer must be able to hold on each side
BENCH_USER = "bench"
# A user of a users file that lives as long as the run and guards a toy upstream on the loopback interface.
BENCH_PASSWORD = "bench-password-of-no-worth"
BENCH_PHC = (
    "$argon2id$v=19$m=19456,t=2,p=1$ZG9vcndhcmRiZW5jaHNhbHQ$faJ9XGTac5XlJrSZUpEdQzK2A3iA96W9IawXEJPMXRQ"
)


class Target:
    """One column of the table: a server, and the credentials that a client shows it."""

    def __init__(self, name, server, headers=(), primary=True):
        self.name = name
        self.server = server
        self.headers = list(headers)
        self.primary = primary  # measured in every section, not only with small answers


class Server:
    """A proxy as a child process."""

    name = ""
    program = ""
    version_option = "--version"

    def __init__(self, run):
        self.run = run
        self.port = free_port()
        self.folder = os.path.join(run.folder, f"{self.name}-{self.port}")
        os.mkdir(self.folder, 0o755)
        self.output = os.path.join(self.folder, "output.txt")
        self.request_log = None
        self.child = None

    def command(self):
        """The command line; writes what it needs into `self.folder`."""
        raise NotImplementedError

    def environment(self):
        """Environment of the child: none of ours but the path."""
        return {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": self.folder}

    def targets(self):
        """The columns that this server fills."""
        return [Target(self.name, self)]

    def start(self):
        """Starts the child and waits until it speaks TLS."""
        self.child = processes.start(self.command(), self.output, self.environment(), self.folder)
        end = time.monotonic() + READY_WITHIN
        while True:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode}: {self.tail()}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=2) as raw:
                    with blind_context().wrap_socket(raw):
                        return
            except OSError as fault:
                if time.monotonic() > end:
                    raise Failed(f"{self.name} is not ready after {READY_WITHIN:.0f} s: {fault}; {self.tail()}") from fault
            time.sleep(0.05)

    def stop(self):
        """Ends the child and its descendants."""
        if self.child is not None:
            processes.stop(self.child)
            self.child = None

    def tail(self):
        """The end of what the child said."""
        try:
            with open(self.output, encoding="utf-8", errors="replace") as file:
                return file.read()[-300:].strip()
        except OSError:
            return ""

    def write(self, name, text):
        """Writes a file into the folder; returns its path."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    @classmethod
    def version(cls, run):
        """Which version the program says it is."""
        return said_version([cls.path(run), cls.version_option])

    @classmethod
    def path(cls, _run):
        """Where the program is; None when it is not installed."""
        return shutil.which(cls.program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Nginx(Server):
    """nginx without an access log."""

    name = "nginx"
    program = "nginx"
    version_option = "-v"
    access_log = "off"

    def command(self):
        user = "user nobody nogroup;" if os.geteuid() == 0 else ""
        temp = "\n  ".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = self.write("nginx.conf", f"""
daemon off;
{user}
worker_processes {self.run.workers};
worker_rlimit_nofile {self.run.files};
pid {self.folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections {min(2 * STREAMS_ROOM, self.run.files)}; }}
http {{
  access_log {self.access_log};
  {temp}
  client_max_body_size 0;
  keepalive_requests 1000000000;
  map $http_upgrade $connection_to_upstream {{ default upgrade; '' ''; }}
  upstream engine {{
    server unix:{self.run.upstream};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{self.port} ssl;
    ssl_certificate {self.run.pem};
    ssl_certificate_key {self.run.pem};
    ssl_protocols TLSv1.3;
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_to_upstream;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
""")
        return [self.path(self.run), "-e", "stderr", "-p", self.folder, "-c", config]


class NginxLog(Nginx):
    """nginx with its access log on, in its default format."""

    name = "nginx-log"

    def __init__(self, run):
        super().__init__(run)
        self.request_log = os.path.join(self.folder, "access.log")
        self.access_log = f"{self.request_log} combined"

    def targets(self):
        return [Target(self.name, self, primary=False)]


class Haproxy(Server):
    """HAProxy without a log."""

    name = "haproxy"
    program = "haproxy"
    version_option = "-v"

    def command(self):
        # No `user`: a process that changes its user is no longer told when this run dies (PR_SET_PDEATHSIG).
        config = self.write("haproxy.cfg", f"""
global
  nbthread {self.run.workers}
  maxconn {min(STREAMS_ROOM, (self.run.files - 100) // 2)}
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend door
  bind 127.0.0.1:{self.port} ssl crt {self.run.pem} alpn http/1.1
  default_backend engine
backend engine
  server engine unix@{self.run.upstream}
""")
        return [self.path(self.run), "-db", "-f", config]


class Caddy(Server):
    """Caddy without a log, its HTTP/2 and HTTP/3 off."""

    name = "caddy"
    program = "caddy"
    version_option = "version"

    def command(self):
        config = self.write("Caddyfile", f"""{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
  servers {{
    protocols h1
  }}
}}
https://:{self.port} {{
  bind 127.0.0.1
  tls {self.run.pem} {self.run.pem} {{
    protocols tls1.3
  }}
  reverse_proxy unix/{self.run.upstream} {{
    flush_interval -1
    transport http {{
      keepalive_idle_conns 64
      keepalive_idle_conns_per_host 64
    }}
  }}
}}
""")
        return [self.path(self.run), "run", "--adapter", "caddyfile", "--config", config]

    def environment(self):
        home = {key: self.folder for key in ("XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        return {**super().environment(), **home, "GOMAXPROCS": str(self.run.workers)}


class Doorward(Server):
    """Doorward with login, policy and its request log on; a column for each credential."""

    name = "doorward"
    log_format = "json"

    def __init__(self, run):
        super().__init__(run)
        self.state = os.path.join(self.folder, "state")
        self.logs = os.path.join(self.folder, "log")
        self.request_log = os.path.join(self.logs, "requests.log")

    def command(self):
        os.mkdir(self.state, 0o700)
        os.mkdir(self.logs, 0o750)
        pem = os.path.join(self.folder, "server.pem")
        shutil.copyfile(self.run.pem, pem)
        os.chmod(pem, 0o600)
        users = self.write("users.toml", users_file(self.run.phc or BENCH_PHC))
        os.chmod(users, 0o600)
        argv = [
            self.path(self.run), "serve",
            "--engine", f"unix://{self.run.upstream}",
            "--certfile", pem,
            "--use-login", "--users", users,
            "--listen", f"127.0.0.1:{self.port}",
            "--state", self.state,
            "--log", self.request_log, "--log-format", self.log_format,
            "--workers", str(self.run.workers),
        ]
        if os.geteuid() == 0:
            user = pwd.getpwnam(self.run.doorward_user)
            for path in (self.state, self.logs, pem, users):
                os.chown(path, user.pw_uid, user.pw_gid)
            argv += ["--user", user.pw_name]
        return argv + shlex.split(self.run.doorward_args)

    def targets(self):
        """Logs in over both doors."""
        found = []
        try:
            # A cookie request that uploads must say where it comes from, as browsers do.
            origin = f"Origin: https://127.0.0.1:{self.port}"
            found.append(Target("doorward-cookie", self, [f"Cookie: {self.login_cookie()}", origin], primary=False))
        except Failed as fault:
            self.run.note(f"doorward-cookie left out: {fault}")
        found.append(Target("doorward-token", self, [f"Authorization: Bearer {self.login_token()}"]))
        return found

    def login_token(self):
        """A token by the API, as `doorward login` gets it."""
        body = json.dumps({"user": BENCH_USER, "password": BENCH_PASSWORD})
        status, _, text = self.post("/_doorward/api/v1/login", body, {"Content-Type": "application/json"})
        try:
            return json.loads(text)["token"]
        except (ValueError, KeyError, TypeError) as fault:
            raise Failed(f"doorward gave no token: {status} {text[:200]!r}") from fault

    def login_cookie(self):
        """A session by the form, as a browser gets it."""
        form = urllib.parse.urlencode({"user": BENCH_USER, "password": BENCH_PASSWORD, "next": "/"})
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"https://127.0.0.1:{self.port}",
            "Accept": "text/html",
        }
        status, fields, text = self.post("/_doorward/login", None, {"Accept": "text/html"}, "GET")
        secret = re.search(rb'name="csrf_token" value="([^"]+)"', text)
        known = re.match(r"__Host-doorward-[0-9a-f]{8}-login=[^;]+", fields.get("Set-Cookie") or "")
        if not secret or not known:
            raise Failed(f"doorward shows no sign-in page: {status} {text[:200]!r}")
        form += "&csrf_token=" + secret.group(1).decode()
        status, fields, text = self.post("/_doorward/login", form, {**headers, "Cookie": known.group(0)})
        for value in fields.get_all("Set-Cookie") or []:
            if match := re.match(r"(__Host-doorward-[0-9a-f]{8}=[^;]+)", value):
                return match.group(1)
        raise Failed(f"doorward gave no session: {status} {text[:200]!r}")

    def post(self, path, body, headers, method="POST"):
        """One request on a connection of its own."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=blind_context())
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        except (OSError, http.client.HTTPException) as fault:
            raise Failed(f"doorward's login: {type(fault).__name__}: {fault}; {self.tail()}") from fault
        finally:
            connection.close()

    @classmethod
    def path(cls, run):
        return run.doorward if os.access(run.doorward, os.X_OK) else None


SERVERS = [Nginx, NginxLog, Haproxy, Caddy, Doorward]


def users_file(phc):
    """The users file with the one user of the run."""
    return f'[users.{BENCH_USER}]\npassword = "{phc}"\n'


def free_port():
    """A port of the loopback interface that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def blind_context():
    """TLS without a look at the certificate, which this run has made itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def said_version(argv):
    """The first version number that a program prints, on whichever stream."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "of unknown version"
    found = re.search(r"\d+\.\d[^\s,]*", done.stdout + done.stderr)
    return found.group(0) if found else "of unknown version"
