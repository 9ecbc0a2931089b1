#!/bin/bash
# The openssl commands of the usual recipe for nginx before docker.sock, put right: keys that are long enough, a name for
# the server, one serial number each, and a client's certificate that says so (version 3, clientAuth). No questions.
set -euo pipefail

openssl genrsa -out ca.key 4096
openssl req -new -x509 -days 365 -key ca.key -subj "/CN=Docker clients" -out ca.crt

openssl genrsa -out server.key 2048
openssl req -new -key server.key -subj "/CN=localhost" -out server.csr
openssl x509 -req -days 365 -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt \
  -extfile <(printf 'subjectAltName = DNS:localhost,IP:127.0.0.1\nextendedKeyUsage = serverAuth\n')

openssl genrsa -out client.key 2048
openssl req -new -key client.key -subj "/CN=client" -out client.csr
openssl x509 -req -days 365 -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out client.crt \
  -extfile <(printf 'extendedKeyUsage = clientAuth\n')

(umask 077; cat server.crt server.key > server.pem)

# As the recipe has it: version 1, which says nothing of what it is for.
openssl x509 -req -days 365 -in client.csr -CA ca.crt -CAkey ca.key -set_serial 01 -out old.crt
