"""A local page that shows what the glasses do and why, and mutes them: `glasses run --dashboard`."""
