"""Plans of training and of generation: what a step takes on devices, from its compiled program or from its shapes."""
