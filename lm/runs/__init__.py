"""A run on disk: its folder, checkpoints and result.json; resuming a run."""
