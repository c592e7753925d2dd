"""The commands of this project, such as train and evaluate: one file for each."""
