"""Hedged answers: a turn's latents go to a remote model, and the local backbone answers whatever becomes of that."""
