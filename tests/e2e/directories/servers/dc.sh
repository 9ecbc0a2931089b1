#!/bin/bash
# An Active Directory domain controller: dc.sh REALM DOMAIN ADMIN_PASSWORD
set -euo pipefail
readonly realm=$1 domain=$2 password=$3

# Access lists in a file of their own: extended attributes of the security name space are not for containers.
samba-tool domain provision --server-role=dc --realm="$realm" --domain="$domain" --adminpass="$password" \
    --dns-backend=SAMBA_INTERNAL --use-rfc2307 \
    --option="posix:eadb=/var/lib/samba/private/eadb.tdb" --option="dns forwarder=" >/tmp/provision.log 2>&1 \
    || { cat /tmp/provision.log >&2; exit 1; }
exec samba --foreground --no-process-group --debug-stdout
