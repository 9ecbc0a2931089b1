#!/bin/bash
# crl.sh [CERTIFICATE]: revokes it, and puts a new revocation list of the CA in this folder into crl.pem, with openssl's
# own means. A list needs a number (crlnumber): without one it is of version 1, which RFC 5280 has done away with.
set -euo pipefail
SECRET=pass:of-the-ca

if [ ! -e crl.cnf ]; then
    printf '[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n' > crl.cnf
    : > index.txt
    echo 01 > crlnumber
fi
ca() { openssl ca -config crl.cnf -keyfile ca-key.pem -passin $SECRET -cert ca.pem "$@"; }

[ $# = 0 ] || ca -revoke "$1"
ca -gencrl -crldays 30 -out crl.new
mv crl.new crl.pem
