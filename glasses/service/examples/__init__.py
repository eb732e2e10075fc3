"""What a developer copies: each example is a program over the service's public client."""
