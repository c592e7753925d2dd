"""Plain nn.Modules: `forward` over windows, `step` over single tokens, a head for nats and logits."""
