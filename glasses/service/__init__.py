"""The model service: one backbone behind three APIs (latents, gradients, tokens), and its clients. See README.md."""
