"""What a run leaves on disk: its folder, checkpoints, result.json; and resuming from them."""
