"""What the assistant can do when it is asked: tools, built in and added."""
