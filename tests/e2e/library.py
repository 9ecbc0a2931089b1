"""What the docker library for Python sees: library.py NAME LABEL. Settings come from the environment, as documented."""

import os
import pathlib
import sys

import docker
from docker.tls import TLSConfig

name, (label, _, value) = sys.argv[1], sys.argv[2].partition("=")
folder = pathlib.Path(os.environ["DOCKER_CONFIG"])
tls = False
if os.environ.get("DOCKER_TLS_VERIFY"):
    tls = TLSConfig(ca_cert=str(folder / "ca.pem"), verify=True)
client = docker.DockerClient(base_url=os.environ["DOCKER_HOST"], tls=tls, version="auto", timeout=60)

print("ping:", client.ping())
container = client.containers.create(
    "busybox:latest", "sh -c 'read line; echo echo of $line; exit 6'", name=name, labels={label: value},
    stdin_open=True)
attached = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
container.start()
raw = getattr(attached, "_sock", attached)
raw.sendall(b"words\n")
data = b""
while b"\n" not in data:
    data += raw.recv(4096)
print("attached:", data[8:].decode(), end="")  # eight bytes of frame header
attached.close()
print("waited:", container.wait())
print("logs:", [line.decode() for line in container.logs(stream=True, follow=True)])
container.remove()
