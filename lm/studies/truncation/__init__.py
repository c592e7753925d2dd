"""What detaching the state buys: the error without it, memory and time against it, how far gradients reach, drawn."""
