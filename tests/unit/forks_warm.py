"""What the process that is forked imports, with all that a first job loads."""

from dataclasses import replace
from threading import RLock

import forks
import torch
from tqdm import tqdm

from explman_lite import bench

# Forks would share the lock of progress bars, which PyTorch's interpreter of graphs takes as well,
# and one that is killed would keep it.
tqdm.set_lock(RLock())
tqdm.monitor_interval = 0

torch.set_num_threads(1)
for job in forks.SUITE.jobs(limit=1):
    bench.measure(replace(job, steps=1))
