"""What happens beside training: progress, checkpoints, what TensorBoard shows."""
