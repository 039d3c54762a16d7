#!/usr/bin/env python3
"""Leave out recorded gradients of a case of `gollava verify`, but for those of first layers, of what is no layer, and
those that are zero.

    python thin.py CASE...
"""

import re
import sys

from safetensors.numpy import load_file, save_file

for case in sys.argv[1:]:
    path = case + "/expected.safetensors"
    kept = {n: t for n, t in load_file(path).items() if not re.match(r"grad\..*\.[1-9]\d*\.", n) or not t.any()}
    save_file(kept, path)
