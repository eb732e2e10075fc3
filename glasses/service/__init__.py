"""The latent service: the Latent, Gradient and Tokenizer APIs of one backbone, alike on the device and far away."""
