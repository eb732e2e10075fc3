"""OpenAI's HTTP API over the service: what its clients send, honoured or refused by name (`fields`)."""
