"""What a corpus holds, before any training."""
