"""Trains a wake-word detector for a phrase of the wearer's choice, on the board itself and without torch."""
