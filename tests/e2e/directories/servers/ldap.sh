#!/bin/bash
# An LDAP server for dc=test,dc=lan that insists on TLS, and beside it an engine that echoes headers: ldap.sh NAME
#
# NAME is the name in its certificate; /srv/ca.pem is what to trust. The entries come from /srv/entries.ldif.
set -euo pipefail
cd /srv

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
    -addext "subjectAltName=DNS:$1" -keyout key.pem -out ca.pem 2>/dev/null
mkdir -p db
cat > slapd.conf <<CONF
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile /srv/ca.pem
TLSCertificateKeyFile /srv/key.pem
# Passwords and entries only over TLS, or to a process of this container.
security ssf=64
database mdb
suffix "dc=test,dc=lan"
rootdn "cn=admin,dc=test,dc=lan"
rootpw admin-secret
directory /srv/db
access to attrs=userPassword by anonymous auth by * none
# Nobody reads without saying who they are, as in most directories.
access to * by users read by anonymous auth
CONF
slapadd -q -f slapd.conf -l entries.ldif
python3 /usr/local/bin/echo.py &
slapd -f slapd.conf -h "ldap:/// ldapi:///"
# A test may end the server. The container stays, so that nobody else gets its address.
exec sleep infinity
