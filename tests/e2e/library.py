"""What the docker library for Python sees: library.py NAME LABEL. Settings come from the environment, as documented."""

import os
import pathlib
import sys

import docker
from docker.tls import TLSConfig

name, (label, _, value) = sys.argv[1], sys.argv[2].partition("=")
certificates = os.environ.get("DOCKER_CERT_PATH")
if certificates and (pathlib.Path(certificates) / "cert.pem").exists():
    client = docker.from_env(timeout=60)
else:
    # from_env would insist on a client certificate.
    tls = False
    if os.environ.get("DOCKER_TLS_VERIFY"):
        tls = TLSConfig(ca_cert=str(pathlib.Path(os.environ["DOCKER_CONFIG"]) / "ca.pem"), verify=True)
    client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], tls=tls, version="auto", timeout=60)

print("ping:", client.ping())
container = client.containers.run(
    "busybox:latest", "sh -c 'trap \"exit 6\" TERM; echo up; while :; do sleep 0.1; done'", name=name,
    labels={label: value}, detach=True)
# Not attach_socket: this library forgets HttpHeaders there, and so the token.
started = client.api.exec_create(container.id, ["sh", "-c", "read line; echo echo of $line"], stdin=True)
attached = client.api.exec_start(started["Id"], socket=True)
raw = getattr(attached, "_sock", attached)
raw.sendall(b"words\n")
data = b""
while b"\n" not in data:
    data += raw.recv(4096)
print("attached:", data[8:].decode(), end="")  # eight bytes of frame header
attached.close()
container.stop(timeout=10)
print("waited:", container.wait())
print("logs:", [line.decode() for line in container.logs(stream=True, follow=True)])
container.remove()
