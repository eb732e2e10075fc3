"""Sending a turn's latents to a bigger brain, and answering in time whatever becomes of it."""
