"""The interface to the machine: files, terminal, log, signals, devices, precision, memory."""
