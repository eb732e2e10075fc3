"""What the wearer can teach the glasses by command, on the board itself and without torch."""
