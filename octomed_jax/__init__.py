"""octomed_jax: the OctoMed medical reasoning data recipe (arXiv 2511.23269) in JAX."""

__version__ = "0.1.0"
