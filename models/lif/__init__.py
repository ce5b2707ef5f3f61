"""LIF cells stepped all at once: the fused scan of norse's equations and its gradients, on CPU and GPU."""
