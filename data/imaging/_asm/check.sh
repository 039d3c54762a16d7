#!/usr/bin/env bash
# Fails if the assembly of package imaging is not what its generator writes.
set -euo pipefail
cd "$(dirname "$0")"
./generate.sh
git diff --exit-code -- ..
