"""The far side of the wire: one job, one process, exactly one outcome."""
