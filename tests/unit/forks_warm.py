"""What the process that is forked imports, with all that a first job loads."""

from dataclasses import replace

import forks
import torch

from explman_lite import bench

torch.set_num_threads(1)
for job in forks.SUITE.jobs(limit=1):
    bench.measure(replace(job, steps=1))
