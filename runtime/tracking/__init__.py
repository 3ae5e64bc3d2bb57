"""Showing trainings elsewhere: TensorBoard and Weights & Biases, from the files that a run writes anyway."""
