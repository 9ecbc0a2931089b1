#!/bin/bash
# A Kerberos KDC with a password-change service: kdc.sh REALM [HOST...]
#
# Makes /srv/keytab with a key for each HOST. kadmin.local adds people.
set -euo pipefail
readonly realm=$1; shift

cat > /etc/krb5.conf <<CONF
[libdefaults]
 default_realm = $realm
[realms]
 $realm = {
  kdc = 127.0.0.1
  admin_server = 127.0.0.1
 }
CONF
cat > /etc/krb5kdc/kdc.conf <<CONF
[kdcdefaults]
 kdc_ports = 88
 kdc_tcp_ports = 88
[realms]
 $realm = {
  database_name = /srv/principal
  key_stash_file = /srv/stash
 }
CONF
kdb5_util create -s -P master -r "$realm" >/dev/null
for host in "$@"; do
    kadmin.local -q "addprinc -randkey host/$host" >/dev/null
    kadmin.local -q "ktadd -k /srv/keytab host/$host" >/dev/null
done
touch /etc/krb5kdc/kadm5.acl
kadmind
krb5kdc
# A test may end the servers. The container stays, so that nobody else gets its address.
exec sleep infinity
