"""Statistics of noisy losses: the noise of seeds, paired comparison, how many seeds, and the verdict."""
