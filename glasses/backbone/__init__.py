"""The frozen language model that reads latents. Knows no sensor, encoder, connector, speech or display."""
