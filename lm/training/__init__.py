"""The training step, the validation loop, forcing, optimisers, callbacks, the trainer."""
