"""From text to windows of token ids."""
