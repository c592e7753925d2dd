"""Everything that touches the machine: files, terminal, log, signals, devices, precision, memory."""
