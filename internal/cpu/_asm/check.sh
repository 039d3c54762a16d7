#!/usr/bin/env bash
# Fails if the assembly of package cpu is not what its generators write.
set -euo pipefail
cd "$(dirname "$0")"
./generate.sh
git diff --exit-code -- ..
