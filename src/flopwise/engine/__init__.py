"""The coordinator: wires the rooms together, runs the loop, alone writes the journal."""
