"""Backends of the service: llama.cpp, torch, and a gateway to vLLM."""
