"""Lightning callbacks. They do not change the results of training."""
