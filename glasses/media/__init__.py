"""What users hand in as files or bytes: the kinds of files, their checks, and pictures. Sounds: glasses/audio."""
