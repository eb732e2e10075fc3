"""The fixture of all tests of the model store."""

from tests.unit.model_store.shelf import shelf

__all__ = ["shelf"]
