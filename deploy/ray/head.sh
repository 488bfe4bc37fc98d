#!/bin/sh
# The head has two addresses: one on the network of the stack, one where its port is published. Left alone Ray takes the
# second, at which no worker reaches it: trials would wait for their data for ever. PostgreSQL is on the first alone.
set -eu
address=$(python -c "
import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(('postgres', 5432))  # sends nothing
print(probe.getsockname()[0])
")
exec ray start --head --block --node-ip-address="$address" "$@"
