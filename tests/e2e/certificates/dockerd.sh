#!/bin/bash
# The openssl commands of Docker's page on TLS (and of most recipes made from it), as they stand there. Added is only what
# answers a question: -passout, -passin, -subj. dockerd.sh HOST, in an empty folder.
set -euo pipefail
HOST=$1
SECRET=pass:of-the-ca

openssl genrsa -aes256 -passout $SECRET -out ca-key.pem 4096
openssl req -new -x509 -days 365 -key ca-key.pem -passin $SECRET -subj "/CN=$HOST" -sha256 -out ca.pem

openssl genrsa -out server-key.pem 4096
openssl req -subj "/CN=$HOST" -sha256 -new -key server-key.pem -out server.csr
echo subjectAltName = DNS:$HOST,IP:10.10.10.20,IP:127.0.0.1 >> extfile.cnf
echo extendedKeyUsage = serverAuth >> extfile.cnf
openssl x509 -req -days 365 -sha256 -in server.csr -CA ca.pem -CAkey ca-key.pem -passin $SECRET \
  -CAcreateserial -out server-cert.pem -extfile extfile.cnf

openssl genrsa -out key.pem 4096
openssl req -subj '/CN=client' -new -key key.pem -out client.csr
echo extendedKeyUsage = clientAuth > extfile-client.cnf
openssl x509 -req -days 365 -sha256 -in client.csr -CA ca.pem -CAkey ca-key.pem -passin $SECRET \
  -CAcreateserial -out cert.pem -extfile extfile-client.cnf
rm -v client.csr server.csr extfile.cnf extfile-client.cnf

# What dockerd takes by two options, the gateway takes by one.
(umask 077; cat server-cert.pem server-key.pem > server.pem)
