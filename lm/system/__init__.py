"""Between the program and the machine: files, terminal, log, signals, devices, precision, memory."""
