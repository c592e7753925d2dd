"""Recurrent language models: text -> vocabulary -> streams -> model -> nats -> perplexity."""

__version__ = "0.1.0"
