"""Added tokens: their table, their training, and their API."""
