"""The wearer's own notes and documents, searchable."""
