#!/bin/bash
# Takes Veer off a host.
set -euo pipefail
# shellcheck source=lib.sh
. "$SCRIPTS/lib.sh"

data=
[ "$REMOVE_DATA" != yes ] || data=data
say "$REGION: removing it"
host "$REGION" remove $data
