"""From text to windows: sources, tokens, vocabulary, ids, parallel streams."""
