"""``train.optimizer``: ``config`` has its knobs (without torch), ``build`` makes the optimizer."""
