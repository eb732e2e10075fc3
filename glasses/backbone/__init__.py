"""The frozen language model: it reads tokens and input embeddings, and generates tokens."""
