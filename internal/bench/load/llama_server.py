"""llama.cpp's server through xllamacpp: MODEL SLOTS THREADS. Prints its address to stderr when it is ready."""
import sys
import time

import xllamacpp

model, slots, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
p = xllamacpp.CommonParams()
p.model.path, p.n_parallel, p.n_ctx, p.verbosity = model, slots, 512 * slots, -1
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = threads
server = xllamacpp.Server(p)
print(server.listening_address, file=sys.stderr, flush=True)
time.sleep(1e6)
