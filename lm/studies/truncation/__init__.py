"""The study of detaching the state: the error without detach, memory, time, and how far gradients reach."""
