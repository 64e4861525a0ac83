"""The torch toolbox that workloads train with: data, loop, schedules, evaluation, optimizers, devices.

Nothing here knows a workload or a study; importing this package itself loads no torch.
"""
