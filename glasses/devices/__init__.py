"""Microphone, speaker, camera, and the link to glasses that have all of them."""
