"""A runtime for AI glasses: sight and sound reach the backbone as latent vectors."""

__version__ = "0.1.0"
